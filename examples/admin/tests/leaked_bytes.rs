//! `leaked` over the bytes that real leaks come in, and what it says of those that it can't read.

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use common::{Host, phone};
use flate2::Compression;
use flate2::write::GzEncoder;
use support::chance::Chance;
use support::program::has;

/// The size of a window, in which the tool reads.
const WINDOW: usize = 1 << 20;
const NOT_ALL: &str = "not everything could be read, so there may be more tokens";
const NONE: &str = "everything was read, and no token of this host was found";

#[test]
fn a_token_is_found_in_every_encoding() {
    let host = Host::new();
    for (name, encode) in ENCODINGS {
        let (id, text) = host.issue(phone());
        let bytes = encode(&format!("first line\r\npassword = \"{text}\"\r\nlast line"));
        let said = host.admin_reading(bytes, &["leaked"]).done();
        assert!(said.ends_with(&format!(": {id} revoked\n")), "{name}: {said}");
        assert!(!host.is_good(&text), "{name}");
    }
}

type Encoding = (&'static str, fn(&str) -> Vec<u8>);
const ENCODINGS: &[Encoding] = &[
    ("UTF-8", |text| text.into()),
    ("UTF-8 with BOM", |text| format!("\u{feff}{text} Gruß").into()),
    ("Latin-1", |text| [b"\xfc\xe4\xe9 ", text.as_bytes(), b"\xdf\xff"].concat()),
    ("UTF-16 LE", |text| little(text)),
    ("UTF-16 LE with BOM", |text| little(&format!("\u{feff}{text}"))),
    ("UTF-16 BE", |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ("UTF-16 BE with BOM", |text| {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect()
    }),
    ("UTF-16 that ends within a unit", |text| [&*little(text), b"\xd8"].concat()),
    ("UTF-16 that begins within a unit", |text| [b"\0", &*little(text)].concat()),
    ("UTF-32", |text| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()),
    ("among zeros", |text| [&[0; 600], text.as_bytes(), &[0; 600]].concat()),
    ("base64 of UTF-16", |text| STANDARD.encode(little(text)).into()),
    ("UTF-16 of base64", |text| little(&STANDARD.encode(text))),
    ("gzip", |text| gzip(text.as_bytes())),
    ("gzip of UTF-16", |text| gzip(&little(text))),
    ("gzip in two parts", |text| [gzip(b"x\n"), gzip(text.as_bytes())].concat()),
    ("in a file of another program", |text| {
        [&b"\x7fELF\x02\x01\0\xff".repeat(40), text.as_bytes(), b"\xff\0\xfe"].concat()
    }),
];

#[test]
fn a_token_across_the_end_of_a_window_is_found_in_every_width() {
    let host = Host::new();
    let mut files = Vec::new();
    let mut ids = Vec::new();
    for (wide, before_end) in [(1, 1), (1, 25), (1, 50), (2, 1), (2, 51), (2, 99), (4, 101)] {
        let (id, text) = host.issue(phone());
        let mut bytes = vec![b'.'; WINDOW - before_end];
        bytes.extend(text.bytes().flat_map(|byte| [byte, 0, 0, 0].into_iter().take(wide)));
        bytes.extend(vec![b'.'; 100]);
        let name = format!("{wide}-{before_end}.log");
        fs::write(host.path(&name), bytes).unwrap();
        files.push(name);
        ids.push(id.to_string());
    }
    let arguments: Vec<&str> =
        ["leaked", "--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let report = host.admin(&arguments).json();
    let leaks = report["leaks"].as_array().unwrap();
    let found: Vec<_> = leaks.iter().map(|leak| leak["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids);
    assert!(leaks.iter().zip(&files).all(|(leak, file)| leak["file"] == **file), "{leaks:?}");
    assert!(leaks.iter().all(|leak| leak["outcome"] == "revoked"), "{leaks:?}");
}

#[test]
fn what_cannot_be_opened_or_read_is_named_and_keeps_no_other_file_from_being_searched() {
    let host = Host::new();
    fs::create_dir(host.path("folder")).unwrap();
    let mut bad = vec![
        ("missing.log", "missing.log: byte 0: could not be read: No such file"),
        ("folder", "folder: byte 0: could not be read: it is a folder; name the files in it"),
    ];
    if cfg!(target_os = "linux") {
        // It can be opened, and every read of its first byte fails.
        bad.push(("/proc/self/mem", "/proc/self/mem: byte 0: could not be read: Input/output"));
    }
    for (name, why) in bad {
        let (id, text) = host.issue(phone());
        fs::write(host.path("good.log"), &text).unwrap();
        let ran = host.admin(&["leaked", name, "good.log"]);
        assert!(ran.out.contains(why), "{ran:?}");
        assert!(ran.out.contains(&format!("good.log: byte 0: {id} revoked\n")), "{ran:?}");
        ran.exited(6, NOT_ALL);
        assert!(!host.is_good(&text), "{name}");
        host.admin(&["leaked", name]).exited(6, NOT_ALL);
    }
    // Standard input stands among files, too.
    let (id, text) = host.issue(phone());
    let said = host.admin_reading(&text, &["leaked", "good.log", "-"]).done();
    assert!(said.ends_with(&format!("\nbyte 0: {id} revoked\n")), "{said}");
}

#[test]
fn a_gzip_file_that_is_cut_or_damaged_is_searched_as_far_as_it_goes() {
    let host = Host::new();
    let noise = STANDARD.encode(random(40_000));
    for damage in [
        (|bytes| bytes.truncate(bytes.len() - 2_000)) as fn(&mut Vec<u8>),
        |bytes| bytes.extend(b"more"),
        |bytes| *bytes.last_mut().unwrap() ^= 1,
    ] {
        let (id, text) = host.issue(phone());
        let mut bytes = gzip(format!("{text}\n{noise}").as_bytes());
        damage(&mut bytes);
        fs::write(host.path("app.log.1.gz"), bytes).unwrap();
        let ran = host.admin(&["leaked", "app.log.1.gz"]);
        assert!(ran.out.starts_with(&format!("app.log.1.gz: byte 0: {id} revoked\n")), "{ran:?}");
        ran.exited(6, NOT_ALL);
        assert!(!host.is_good(&text));
    }
}

#[test]
fn what_is_packed_or_encrypted_is_never_answered_with_none_found() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let line = format!("password = {text}\n");
    let zipped = gzip(line.as_bytes());
    let in_base64 = STANDARD.encode(&zipped);
    let mut cases = vec![
        ("a short secret", "bytes that do not look like text", random(64)),
        ("a secret", "compressed, encrypted or random bytes", random(200)),
        ("a long secret", "compressed, encrypted or random bytes", random(3 * WINDOW)),
        ("gzip in a text", "gzip within something else", [b"200 OK\r\n\r\n", &*zipped].concat()),
        ("gzip in gzip", "gzip within something else", gzip(&zipped)),
        ("gzip in base64", "compressed data in base64", format!("data: {in_base64}").into()),
        (
            "a release of Helm",
            "compressed data in base64",
            STANDARD_NO_PAD.encode(&in_base64).into(),
        ),
        ("a file of age", "an encrypted message", b"age-encryption.org/v1\n-> X25519 x\n".to_vec()),
        ("a message", "an encrypted message", b"-----BEGIN PGP MESSAGE-----\n\nhQ".to_vec()),
        ("of openssl enc -a", "an encrypted message", b"U2FsdGVkX1+Zr2hXPq4=\n".to_vec()),
        ("of openssl cms", "an encrypted message", b"-----BEGIN CMS-----\nMIIB".to_vec()),
        ("of openssl smime", "an encrypted message", b"-----BEGIN PKCS7-----\nMIIB".to_vec()),
        (
            "a mail",
            "an encrypted message",
            b"Content-Type: application/pkcs7-mime; \
            smime-type=enveloped-data; name=\"smime.p7m\"\n\nMIIB"
                .to_vec(),
        ),
        ("UTF-7", "UTF-7", text.replace('_', "+AF8-").into()),
    ];
    if has("python3") {
        for (kind, what) in [
            ("zip", "a ZIP archive"),
            ("xz", "xz"),
            ("bz2", "bzip2"),
            ("zlib", "zlib"),
            ("zlib in base64", "compressed data in base64"),
            ("fast zlib in base64", "compressed data in base64"),
            ("cp037", "EBCDIC"),
        ] {
            cases.push((kind, what, packed(kind, &line)));
        }
    }
    for (name, what, bytes) in cases {
        // Behind text, too, as in a tar or a dump, and across the end of a window. What is short
        // and has no sign is known only alone.
        let is_known_alone = ["a short secret", "zlib"].contains(&name);
        for before in [0, 3, WINDOW - 2].into_iter().take(if is_known_alone { 1 } else { 3 }) {
            let ran = host.admin_reading([&vec![b'\n'; before], &*bytes].concat(), &["leaked"]);
            let said = format!(": could not be read: {what}");
            assert!(ran.out.contains(&said), "{name}: {ran:?}");
            ran.exited(6, NOT_ALL);
        }
    }
}

#[test]
fn what_is_found_beside_what_cannot_be_read_is_revoked() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let bytes = [text.as_bytes(), b"\n", &*random(2_000), b"\n"].concat();
    let ran = host.admin_reading(&bytes, &["leaked", "--json"]);
    let report = ran.json();
    assert_eq!(report["leaks"][0]["id"], id.to_string());
    // Blocks in a row are one place.
    assert_eq!(report["unread"][0]["what"], "compressed, encrypted or random bytes");
    assert!(!host.is_good(&text));
    host.admin_reading(&bytes, &["leaked"]).exited(6, NOT_ALL);
}

#[test]
fn text_of_any_language_and_encoded_data_count_as_read() {
    let host = Host::new();
    let key = STANDARD.encode(random(3_000));
    let hex: String = random(3_000).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut cases = vec![
        ("base64", key.clone().into_bytes()),
        ("base64 in lines", key.as_bytes().chunks(64).collect::<Vec<_>>().join(&b'\n')),
        ("hexadecimal", hex.into_bytes()),
        ("Chinese in UTF-8", CHINESE.into()),
        ("Chinese in UTF-16", little(CHINESE)),
        ("zeros", vec![0; 5_000]),
        ("a short Latin-1", b"caf\xe9 \xe0 la cr\xe8me".to_vec()),
        ("short UTF-8", "žluťoučký kůň".into()),
    ];
    if has("python3") {
        for (encoding, text) in [
            ("gb18030", CHINESE),
            ("shift_jis", JAPANESE),
            ("koi8_r", RUSSIAN),
            ("utf_16_be", JAPANESE),
        ] {
            cases.push((encoding, packed(encoding, text)));
        }
    }
    for (name, bytes) in cases {
        let ran = host.admin_reading(bytes, &["leaked"]);
        assert_eq!(ran.out, "", "{name}");
        ran.exited(3, NONE);
    }
}

const CHINESE: &str = "应用密码让邮件、日历和文件同步程序不用主密码也能登录。用户在帐户设置里生成一个，\
    只看到一次，然后把它复制到手机或电脑的客户端。每个密码都可以单独撤销，不影响别的设备。\
    管理员可以限制它能做什么、能访问哪些文件夹、从哪些网络使用，以及什么时候到期。\
    如果密码泄露到日志或者代码仓库里，扫描程序凭着固定的前缀就能找到它，并且马上通知所有者。\
    数据库里只保存摘要，读到数据库的人也造不出新的密码。丢了手机的人只要在网页上点一下撤销就行了。";
const JAPANESE: &str = "アプリパスワードを使うと、メールや予定表のクライアントは本来のパスワードなしで\
    サインインできます。利用者は設定画面で作成し、一度だけ表示されたものを端末に写します。\
    それぞれを個別に取り消すことができ、ほかの端末には影響しません。漏えいした場合は、\
    決まった接頭辞を手がかりに検査プログラムが見つけ、所有者にすぐ知らせます。";
const RUSSIAN: &str = "Пароль приложения позволяет почте, календарю и программе синхронизации \
    входить без основного пароля. Пользователь создаёт его в настройках, видит один раз и \
    переносит на телефон. Каждый пароль можно отозвать отдельно, и остальные устройства \
    этого не заметят.";

fn little(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Packs or encodes a text with Python's own modules, which are not the ones under test.
fn packed(kind: &str, text: &str) -> Vec<u8> {
    const PACK: &str = "
import base64, bz2, io, lzma, sys, zipfile, zlib
kind, text = sys.argv[1:]
def zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a.txt', data)
    return file.getvalue()
def in_base64(level):
    return lambda data: b'x: ' + base64.b64encode(zlib.compress(data, level))
packers = {'zip': zipped, 'xz': lzma.compress, 'bz2': bz2.compress, 'zlib': zlib.compress,
           'zlib in base64': in_base64(9), 'fast zlib in base64': in_base64(1)}
pack = packers.get(kind)
sys.stdout.buffer.write(pack(text.encode()) if pack else (text * 4).encode(kind))
";
    let output = Command::new("python3").args(["-c", PACK, kind, text]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn random(length: usize) -> Vec<u8> {
    let mut chance = Chance(11);
    (0..length).map(|_| chance.below(256) as u8).collect()
}
