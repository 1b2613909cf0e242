"""Tests imports.py and names.py on small crates: python3 .ci/test_imports.py"""
import pathlib
import tempfile
import unittest

from imports import Crate, circles, without_comments_and_texts
from names import named_twice, without_help


def crate(**files):
    """Reads a crate with these files; `a__b` is `a/b.rs`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name.replace("__", "/") + ".rs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Crate(folder)


def imports(**files):
    return crate(**files).imports()


class Circles(unittest.TestCase):
    def assert_circles(self, expected, **files):
        self.assertEqual(circles(imports(**files)), expected)

    def test_two_files(self):
        self.assert_circles(
            [["a.rs", "b.rs"]],
            lib="mod a; mod b;",
            a="use crate::b::B; struct A;",
            b="use crate::a::A; struct B;")

    def test_three_files_by_way_of_each_other(self):
        self.assert_circles(
            [["a.rs", "b.rs", "c.rs"]],
            lib="mod a; mod b; mod c; mod d;",
            a="use crate::b::B; struct A;",
            b="use crate::c::C; struct B;",
            c="fn c(a: crate::a::A) {} struct C;",
            d="use crate::a::A;")

    def test_two_circles_are_two(self):
        self.assert_circles(
            [["a.rs", "b.rs"], ["c.rs", "d.rs"]],
            lib="mod a; mod b; mod c; mod d;",
            a="use crate::b::B; use crate::c::C; struct A;",
            b="use crate::a::A; struct B;",
            c="use crate::d::D; struct C;",
            d="use crate::c::C; struct D;")

    def test_a_parent_and_its_child(self):
        child, circle = "use super::A; struct B;", [["a.rs", "a/b.rs"]]
        for parent in ["mod b; use b::B; struct A;", "mod b; struct A(b::B);"]:
            self.assert_circles(circle, lib="mod a;", a=parent, a__b=child)
        self.assert_circles([], lib="mod a;", a="mod b; struct A;", a__b=child)

    def test_two_files_with_methods_of_one_type(self):
        a = "pub struct A; mod b; mod c;"
        b = "use super::A; impl A { fn one(&self) { self.two() } }"
        for c in ["impl super::A { fn two(&self) { self .one::<u8>(); } }",
                  "use super::A; impl<T: X> B for A<T> where T: Y { fn two() { Self::one(0) } }"]:
            self.assert_circles([["a/b.rs", "a/c.rs"]], lib="mod a;", a=a, a__b=b, a__c=c)
        for c in ["impl super::A { fn two(&self) { self.field.one() } }",
                  "struct A; impl A { fn two(&self) { self.one() } }"]:
            self.assert_circles([], lib="mod a;", a=a, a__b=b, a__c=c)

    def test_a_type_calls_the_methods_of_a_child(self):
        b = "impl super::A { fn one(&self) {} }"
        for call, circle in [("self.one()", [["a.rs", "a/b.rs"]]), ("self.two()", [])]:
            a = "pub struct A; mod b; impl A { fn f(&self) { %s } fn two(&self) {} }" % call
            self.assert_circles(circle, lib="mod a;", a=a, a__b=b)

    def test_a_reexport_leads_to_the_file_that_defines(self):
        self.assert_circles(
            [["a.rs", "b.rs"]],
            lib="mod a; mod b; pub use a::A; pub use b::*;",
            a="use crate::B; struct A;",
            b="use crate::A; struct B;")

    def test_a_reexport_counts_only_if_its_name_is_used(self):
        child, circle = "use super::A; pub struct B;", [["a.rs", "a/b.rs"]]
        for parent, expected in [("struct A;", []), ("struct A(B);", circle)]:
            self.assert_circles(
                expected, lib="mod a;", a=f"mod b; pub use b::B; pub {parent}", a__b=child)

    def test_what_does_not_count(self):
        for other in [
            "/// See [`A`](crate::a::A).\n struct B;",
            "struct B; /* use crate::a::A; */ // crate::a::A",
            'const B: &str = "crate::a::A"; const D: char = \'"\';',
            'const C: &str = r#"" use crate::a::A;"#; struct B;',
            "struct B; #[cfg(test)] mod tests { use crate::a::A; fn f() { { } } }",
            "struct B; #[cfg(test)] use crate::a::{A, A as C};",
            "struct B; #[cfg(test)] #[expect(dead_code)] fn f() -> crate::a::A { crate::a::A }",
            "macro_rules! b { () => { $crate::a::A } } struct B;",
        ]:
            with self.subTest(other):
                self.assert_circles(
                    [], lib="mod a; mod b;", a="use crate::b::B; struct A;", b=other)

    def test_tests_in_a_file_of_their_own_do_not_count(self):
        self.assert_circles(
            [],
            lib="mod a; mod b;",
            a="#[cfg(test)]\nmod tests; struct A;",
            a__tests="use crate::b::B;",
            b="use crate::a::A; struct B;")


class Imports(unittest.TestCase):
    def test_a_list_in_a_list(self):
        found = imports(
            lib="mod a; mod b; mod c;",
            a="use crate::{b::{self, B as X}, c::{C, inner::D}};",
            b="pub struct B;",
            c="pub struct C; pub mod inner { use super::C; pub struct D; }")
        self.assertEqual(found["a.rs"], {"b.rs": {"B", "b"}, "c.rs": {"C", "D"}})
        self.assertEqual(found["c.rs"], {})

    def test_a_path_through_an_import(self):
        found = imports(
            lib="mod a; mod b;",
            a="use crate::b; fn a() { b::c(); b::Kind::One; }",
            b="pub fn c() {} pub enum Kind { One }")
        self.assertEqual(found["a.rs"], {"b.rs": {"b", "c", "Kind"}})

    def test_super_of_super(self):
        found = imports(
            lib="mod a; mod b;", a="mod c;", a__c="use super::super::b::B;", b="pub struct B;")
        self.assertEqual(found["a/c.rs"], {"b.rs": {"B"}})

    def test_a_module_in_a_file_of_another_name(self):
        found = imports(
            lib='mod a; #[path = "b/sql.rs"]\n#[cfg(unix)]\npub mod b_sql;',
            a="use crate::b_sql::B;", b__sql="pub struct B;")
        self.assertEqual(found["a.rs"], {"b/sql.rs": {"B"}})

    def test_other_crates_are_none(self):
        text = "use std::fmt; use serde::de::*; fn a() { std::mem::take(1); fmt::Error; }"
        self.assertEqual(imports(lib="mod a;", a=text)["a.rs"], {})


class Names(unittest.TestCase):
    def assert_named_twice(self, expected, a, b):
        found = named_twice(crate(lib="mod a; mod b;", a=a, b=b).types())
        self.assertEqual([line.split()[0] for line in found], expected)

    def test_a_name_of_two_types(self):
        for kind in ["struct T;", "enum T {}", "trait T {}", "pub(crate) type T = u8;"]:
            with self.subTest(kind):
                self.assert_named_twice(["T"], kind, "pub struct T<'a>(&'a str);")

    def test_a_name_twice_in_one_file(self):
        self.assert_named_twice(["T"], "fn a() { struct T; } fn b() { struct T; }", "")

    def test_what_does_not_count(self):
        for other in [
            "impl Iterator for A {\n    type T = u8;\n}",
            "/// struct T;\nstruct A;",
            "#[cfg(test)] mod tests { struct T; }",
            "use crate::a::T; struct A(T);",
        ]:
            with self.subTest(other):
                self.assert_named_twice([], "struct T;", other)

    def test_both_sql_stores_have_the_same_words(self):
        def found(**files):
            text = "pub mod c; pub mod d;"
            usual = {"lib": "mod store;", "store": "mod sqlite; mod postgres;",
                     "store__sqlite": text, "store__postgres": text, "store__sqlite__c": "",
                     "store__sqlite__d": "", "store__postgres__c": "", "store__postgres__d": ""}
            return len(named_twice(crate(**usual | files).types()))

        one = {"store__sqlite__c": "struct T;"}
        self.assertEqual(found(**one, store__postgres__c="struct T;"), 0)
        self.assertEqual(found(**one, store__postgres__d="struct T;"), 1)
        self.assertEqual(found(**one, store__sqlite__d="struct T;"), 1)

    def test_a_public_trait_without_help(self):
        one = "#[diagnostic::on_unimplemented(note = \"[{Self}]\")]\n#[must_use]\npub trait A {}\n"
        text = without_comments_and_texts(one + "/// on_unimplemented\npub trait B {}\ntrait C {}")
        self.assertEqual(without_help(text), ["B"])


class Texts(unittest.TestCase):
    def test_lines_stay_where_they_are(self):
        text = 'a /* b\n c */ d "e\n\\" f" // g\nh \'a i\n'
        blanked = without_comments_and_texts(text)
        self.assertEqual(blanked.count("\n"), text.count("\n"))
        self.assertEqual(blanked.split(), ["a", "d", "h", "'a", "i"])


if __name__ == "__main__":
    unittest.main()
