#!/usr/bin/env bash
# Does the suite find bugs? Plants one-line bugs in a copy of the tree, one at a time, and runs the
# suite on each.
#   bash tests/planted_bugs.sh [PATTERN]   by hand, in hours: only bugs whose description matches
#   bash tests/planted_bugs.sh --lines     in seconds, as CI does: only checks that each line to
#                                          plant a bug in is there, once
# QUICK=1 in the environment builds and runs one test binary after the other, and none after the
# first that finds a bug.
# Fails if a bug survives, if a line to plant it in is missing, or if the suite fails without a bug.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
only=${1:-}
# All of the library's own tests, without those that look at memory or kill processes. Those over
# PostgreSQL take minutes, so they run only for the bugs in that store.
suite=(--lib)
for file in tests/*.rs; do
    case $(basename "$file" .rs) in
        allocations | crash | postgres | wiped) ;;
        *) suite+=(--test "$(basename "$file" .rs)") ;;
    esac
done
suite+=(-- --skip postgres)
suite_on_postgres=(--test postgres --)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# Touched, so that cargo doesn't take a build of an earlier run, which may hold a bug, for one of
# these files.
git ls-files -z | tar --null --files-from=- --create | tar --extract --touch --directory "$copy"
cd "$copy"
export CARGO_TARGET_DIR=${PLANTED_TARGET_DIR:-$root/target/planted} CARGO_TERM_COLOR=never
export CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0 RUSTFLAGS="--cap-lints allow"

# failed_tests SUITE…: prints the failed tests, one a line, or nothing if all passed.
failed_tests() {
    [ -n "${QUICK:-}" ] || { failed_tests_of --no-fail-fast "$@"; return; }
    local targets=() target=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        case $1 in
            --test) target=$1 ;;
            *) targets+=("${target:+--test=}$1") target= ;;
        esac
        shift
    done
    local found
    for target in "${targets[@]}"; do
        found=$(failed_tests_of "$target" "$@") || exit 1
        [ -z "$found" ] || { printf '%s\n' "$found"; return 0; }
    done
}

# failed_tests_of ARGUMENT…: the same for one call of cargo.
failed_tests_of() {
    timeout 900 cargo test "$@" >"$copy/output" 2>&1 && return 0
    if grep -q '^error: could not compile' "$copy/output"; then
        grep -m 3 -A 5 '^error' "$copy/output" >&2
        echo "the planted line does not compile" >&2
        exit 1
    fi
    awk '/^ +Running / { file = $2 == "unittests" ? "" : $2 }
         /^ +Running / { sub("tests/", "", file); sub(".rs$", "::", file) }
         /^test .* \.\.\. FAILED$/ { print file $2 }' "$copy/output"
    if ! grep -q '^test .* FAILED$' "$copy/output"; then
        echo "(the suite hung or crashed)"
    fi
}

# The suites that passed without a bug.
sound=" "
# passes_without_a_bug SUITE…: ends the script if the suite fails without a bug.
passes_without_a_bug() {
    [[ "$sound" == *" $1 $2 "* ]] && return 0
    echo "The suite without a bug …" >&2
    local broken
    broken=$(failed_tests "$@")
    if [ -n "$broken" ]; then
        printf 'it fails without any bug:\n%s\n' "$broken" >&2
        exit 1
    fi
    sound+="$1 $2 "
}

planted=0
survived=0
# plant DESCRIPTION FILE LINE BUGGY_LINE [TEST…]: both lines as they stand in the file, without what
# is before or after them. Each TEST is a part of the name of a test of tests/postgres.rs, one of
# which must find the bug. Without any, the rest of the suite must.
plant() {
    local description=$1 file=$2 line=$3 bug=$4
    shift 4
    local count
    count=$(grep -cF -- "$line" "$file" || true)
    if [ "$count" != 1 ]; then
        echo "$count lines of $file have \"$line\": it should be one" >&2
        exit 1
    fi
    if [ "$only" = --lines ]; then
        planted=$((planted + 1))
        return 0
    fi
    [[ "$description" =~ $only ]] || return 0
    local tests=("${suite[@]}")
    [ $# -eq 0 ] || tests=("${suite_on_postgres[@]}")
    passes_without_a_bug "${tests[@]}"
    tests+=("$@")
    cp "$file" "$copy/original"
    local text
    text=$(<"$file")
    printf '%s\n' "${text/"$line"/"$bug"}" >"$file"
    local found
    found=$(failed_tests "${tests[@]}")
    cat "$copy/original" >"$file"
    planted=$((planted + 1))
    if [ -z "$found" ]; then
        survived=$((survived + 1))
        printf '| %s | `%s` | **SURVIVED** |\n' "$description" "$file"
        return 0
    fi
    # Prints three of them: the shortest names say most.
    local names
    names=$(awk '{ print length, $0 }' <<<"$found" | sort -n | cut -d ' ' -f 2- | head -n 3 |
        paste -s -d ' ')
    printf '| %s | `%s` | %s: `%s` |\n' \
        "$description" "$file" "$(wc -l <<<"$found")" "${names// /\`, \`}"
}

[ "$only" = --lines ] || echo "| bug | where | found by how many tests, and some of them |"
[ "$only" = --lines ] || echo "|---|---|---|"
plant "still valid at the instant of its expiry" src/record/expires.rs \
    "Expires::At(at) => now >= at," \
    "Expires::At(at) => now > at,"
plant "still valid at the instant at which it goes idle" src/record/status.rs \
    ".is_some_and(|goes_idle| now >= goes_idle);" \
    ".is_some_and(|goes_idle| now > goes_idle);"
plant "the seal is looked at before the revocation" src/record/status.rs \
    "if self.revocation().is_some() {" \
    "if self.revocation().is_some() && seal == SealCheck::Right {"
plant "the seal is not checked" src/seal.rs \
    "if constant_time_eq(stored, &expected) { SealCheck::Right } else { SealCheck::Wrong }" \
    "if constant_time_eq(stored, &expected) { SealCheck::Right } else { SealCheck::Right }"
plant "the realm is not sealed" src/seal.rs \
    "bytes.text(realm);" \
    "bytes.text(&realm[..0]);"
plant "a token is good outside its networks" src/authority/authenticate.rs \
    "let is_outside = is_bound && !access.allows_from(origin.known_address());" \
    "let is_outside = false;"
plant "an address mapped into v6 is in no network of v4" src/access/network.rs \
    "let address = address.to_canonical();" \
    ""
plant "a path with dots is below another" src/access/resource.rs \
    "is_at_or_below(path, name) && !has_strange_segment(name)" \
    "is_at_or_below(path, name)"
plant "a list from outside is not sorted" src/access.rs \
    "if !items.is_sorted_by(|one, next| one < next) => {" \
    "if items.is_empty() => {"
plant "what implies a scope depends on the order" src/policy/scopes.rs \
    "implied_by.retain(|implying| *implying != scope);" \
    "implied_by.truncate(1);"
plant "networks are not sealed" src/seal.rs \
    "bytes.text(&network.to_string());" \
    ""
plant "a seal of a newer version is a wrong one" src/seal.rs \
    "return other.map_or(SealCheck::Wrong, SealCheck::UnknownVersion);" \
    "return SealCheck::Wrong;"
plant "a digest of a newer scheme is damage" src/digest.rs \
    "newer => Ok(Digest(DigestForm::Newer(newer.into())))," \
    "_ => Err(InvalidDigest),"
plant "a sealed part that is too long comes before the parts in front of it" src/seal.rs \
    "            self.hand_over();" \
    ""
plant "a row issued under a leaked token is left if its line can't be read" \
    src/authority/revoke.rs \
    "None => alone.push(Filter::of_id(row.id()))," \
    "None => {}"
plant "a row issued under a leaked token is left if its age can't be read" \
    src/authority/revoke.rs \
    "row.created_at().is_none_or(|created| created < until);" \
    "row.created_at().is_some_and(|created| created < until);"
plant "a former prefix needs no named realm" src/policy.rs \
    "if self.realm.is_none() {" \
    "if false {"
plant "an invisible text is a name" src/text.rs \
    "(!text.chars().any(is_visible)).then_some(TextProblem::Invisible)" \
    "None"
plant "a disguised token is no token" src/web/resemblance.rs \
    "|| resembles_in_disguise(bytes, accepted)" \
    ""
plant "a secret that ends with a line end is refused" src/web/credentials.rs \
    "secret.trim_ascii().chars()" \
    "secret.chars()"
plant "an attribute's value is not sealed" src/seal.rs \
    "            bytes.text(value);" \
    ""
plant "a rotation loses the attributes" src/issue.rs \
    "attributes: last.attributes().clone()," \
    "attributes: Attributes::new(),"
plant "the operator who issued is not sealed" src/seal.rs \
    "bytes.option(record.issued_by(), |bytes, operator| bytes.text(operator.as_str()));" \
    ""
plant "a row with a digest of a newer scheme is a tampered one" src/seal.rs \
    "return SealCheck::UnknownVersion(Newer::Digest(newer.scheme()));" \
    "return SealCheck::Wrong;"
plant "a token whose digest has a newer scheme is denied" src/authority/authenticate.rs \
    "return Failed::from(StatusUnclear::DigestScheme(scheme)).into();" \
    "return self.deny(origin, DenialReason::Tampered, None, None).into();"
plant "a digest of a newer scheme is lost when the row is written" src/record.rs \
    "digest_of_other_scheme: sha_256.is_none().then(|| Box::new(parts.digest))," \
    "digest_of_other_scheme: None,"
plant "a check takes a newer digest for a newer seal" src/authority/check.rs \
    "report.unknown_schemes.push((id, scheme));" \
    "report.unknown_versions.push((id, scheme));"
plant "a leaked token that has expired is left as it is" src/authority/revoke.rs \
    "Ok(row) if row.record().revocation().is_some() => {" \
    "Ok(row) if row.record().expires().has_come(self.now()) => {"
plant "a leak ends nothing that was issued under a token that was revoked before" \
    src/authority/revoke.rs \
    "self.revoke_issued_by(row.record(), by).await?;" \
    ""
plant "a repeated leak ends what was issued under the line since" src/authority/revoke.rs \
    "let until = next_second(revocation.at.saturating_add(CLOCK_TOLERANCE));" \
    "let until = crate::timestamp::Timestamp::MAX;"
plant "a leaked token with a damaged row is no token" src/authority/revoke.rs \
    "Err(Unmatched::DamagedRow { is_revoked: false }) => Ok(LeakOutcome::Damaged)," \
    "Err(Unmatched::DamagedRow { is_revoked: false }) => Ok(LeakOutcome::NoToken),"
plant "a damaged row is looked for by facts that it lacks" src/authority/line.rs \
    "let unrevoked = Filter { revoked: Some(false), ..line.clone() };" \
    "let unrevoked = Filter { revoked: Some(false), superseded: Some(true), ..line.clone() };"
plant "access is taken away beside a damaged superseded row" src/authority/change.rs \
    "return Err(ChangeError::DamagedRow(id));" \
    "_ = id;"
plant "an overlap is ended beside a damaged superseded row" src/authority/line.rs \
    "Some(id) => Err(ChangeError::DamagedRow(id))," \
    "Some(_) => Ok(count),"
plant "a bulk revocation by an actor who may not act does nothing" src/authority/revoke.rs \
    "let filter = by.limit(filter.clone()).ok_or(ManageError::NotAllowed)?;" \
    "let Some(filter) = by.limit(filter.clone()) else { return Ok(0) };"
plant "a derived token has no attributes" src/issue.rs \
    "attributes: parent.attributes().clone()," \
    "attributes: Attributes::new(),"
plant "a rotated token keeps an end that is no longer allowed" src/issue.rs \
    "Expires::At(at.min(latest))" \
    "Expires::At(at)"
plant "a revocation leaves the seal" src/row.rs \
    "            parts.seal = None;" \
    ""
plant "any secret is right" src/present.rs \
    "Some(row) if secret_is_right => Ok(row)," \
    "Some(row) => Ok(row),"
plant "only the first word of a digest is compared" src/constant_time.rs \
    "let words = one.iter().zip(other);" \
    "let words = one.iter().zip(other).take(1);"
plant "a revoked imported token is handed on as a password" src/authority/foreign.rs \
    "return Err(self.deny_status(&row, status, reason, now, origin).await.into());" \
    "_ = self.deny_status(&row, status, reason, now, origin).await; \
return Err(AuthError::NotOurs(ParseError::NoPrefix));"
plant "an import without schemes needs a key" src/authority/foreign.rs \
    "if import.schemes().is_empty() {" \
    "if false {"
plant "a text with our prefix is tried as a foreign one" src/authority/foreign.rs \
    "if is_too_long || self.has_our_prefix(text) {" \
    "if is_too_long {"
plant "candidates behind a free place are not looked at" src/authority/import.rs \
    "None => free = free.or(Some((number, id)))," \
    "None => return Ok(Ok((number, id))),"
plant "a row does not say at which of its places it stands" src/authority/import.rs \
    "attributes: marked(&token, ImportMark { candidate, ..mark })?," \
    ""
plant "a token at another place is another token" src/record/imported.rs \
    "ImportMark { candidate: 0, ..self } == ImportMark { candidate: 0, ..other }" \
    "self == other"
plant "what is left of a forgotten token needs its candidates" src/authority/tombstone.rs \
    "let mark = ImportMark { candidate: 0, ..mark };" \
    ""
plant "too few candidates pass for enough" src/import.rs \
    "status.candidates <= self.max_candidates.get()" \
    "status.candidates > 0"
plant "a revoked imported row needs its key" src/authority/foreign.rs \
    "*unclear = unclear.or((!is_revoked).then_some(reason));" \
    "*unclear = Some(reason);"
plant "a first use needs the key of a revoked row" src/authority/foreign.rs \
    "Compared::Unclear(StatusUnclear::KeyMissing(_)) if is_revoked => {}" \
    ""
plant "an ended row that can't be compared lets its text in by another" src/authority/foreign.rs \
    "*unclear_ended = Some(reason);" \
    ""
plant "the first of two rows of one foreign text decides" src/authority/foreign.rs \
    "(Some(one), Some(other)) if rank(&other) > rank(&one) => Some(other)," \
    "(Some(one), Some(_)) => Some(one),"
plant "a row that waits decides beside one in use" src/authority/foreign.rs \
    "(candidate.has_ended(), candidate.is_taken_over())" \
    "(candidate.has_ended(), false)"
plant "an ended row of another scheme is not looked for" src/authority/foreign.rs \
    "        self.has_ended() || self.is_taken_over()" \
    "        true"
plant "the first of two slow rows of one foreign text decides" src/authority/foreign.rs \
    "Ok(matching.map(|(candidate, _)| Some(candidate)).fold(None, deciding))" \
    "Ok({ matching }.next().map(|(candidate, _)| candidate))"
plant "a damaged imported row is handed on as a password" src/authority/foreign.rs \
    "if !lookup.is_shared() {" \
    "if false {"
plant "a second run of an import takes no notice of the first" src/authority/import.rs \
    "Some(record) if is_of(record, mark) => {" \
    "Some(record) if record.attributes().is_empty() => {"
plant "a second import key imports revoked tokens again" src/authority/imported.rs \
    "if key != places.key_mark() {" \
    "if key != key {"
plant "a host that found no imported row never looks again" src/authority/imported.rs \
    "let Some((key, id)) = first else { continue };" \
    "let Some((key, id)) = first else { self.engine.import_key_fits.store(true, \
Ordering::Relaxed); continue };"
plant "an ended row of another import key keeps a host from starting" src/authority/imported.rs \
    "is_of_other_key && record.is_live(self.live_at(self.now()))" \
    "is_of_other_key"
plant "a forgotten token is imported again" src/authority/import.rs \
    "Some(left) if is_of(left, mark) => Some(Imported::Forgotten)," \
    "Some(left) if is_of(left, mark) => None,"
plant "a token that was forgotten during an import comes back" src/authority/import.rs \
    "self.forget_by(by, Filter::of_id(place)).await?;" \
    "_ = by;"
plant "a tombstone is left after the rows are gone" src/authority/revoke.rs \
    "        self.leave_tombstones(&filter).await?;" \
    ""
plant "an imported text keeps what the old system kept" src/authority/foreign.rs \
    "let change = SealChange { digest: Some(digest), ..SealChange::default() };" \
    "let change = SealChange::default(); drop(digest);"
plant "a weak text gets a digest without a key" src/import/plain.rs \
    "        self.is_random" \
    "        true"
plant "a row leaves the key that its digest needs" src/seal.rs \
    "let key = needed.unwrap_or(self.ring.active());" \
    "let key = needed.map_or(self.ring.active(), |_| self.ring.active());"
plant "dead rows are purged during an import" src/authority/revoke.rs \
    "if policy.has_open_import() {" \
    "if false && policy.has_open_import() {"
plant "the facts of a revoked row move" src/authority/move_out.rs \
    "if parts.revocation.is_some() {" \
    "if false {"
plant "a new token of a line that was revoked here is good" src/authority/move_in.rs \
    "parts.revocation = Some(revocation)" \
    "_ = (parts, revocation)"
plant "a line that is revoked beside the insert of its new token is not noticed" \
    src/authority/move_in.rs \
    "self.insert_moved(row, line.living, by, now).await?" \
    "self.insert_moved(row, line.living.filter(|_| false), by, now).await?"
plant "lines that were revoked here are not revoked again" src/authority/move_in.rs \
    "self.revoke_by(by.clone(), &line, reason).await?;" \
    "_ = (line, reason);"
plant "a token that was revoked alone ends what is good under its line" \
    src/authority/move_in/supersede.rs \
    "issued.retain(|id| !others.good.contains(id));" \
    "_ = others;"
plant "a token that only this host issued outlives the leak of its parent" \
    src/authority/move_in/supersede.rs \
    "issued.retain(|id| !others.good.contains(id));" \
    "issued.retain(|_| false); _ = others;"
plant "what only this host rotated outlives the leak of its parent" \
    src/authority/move_in/supersede.rs \
    "if !self.end_rotated_here_alone(record, here, by, now).await?" \
    "if false && !self.end_rotated_here_alone(record, here, by, now).await?"
plant "a token that is rotated while a move revokes it lives on" \
    src/authority/move_in/supersede.rs \
    "Ok(self.write_superseded(row, change, by, now).await? == Replaced::Done)" \
    "Ok(self.write_superseded(row, change, by, now).await? == Replaced::Done || true)"
plant "a leaked token is revoked before it has ended" \
    src/authority/move_in/supersede.rs \
    "|| !self.end_as_there(record, row, by, now).await?" \
    "|| false && !self.end_as_there(record, row, by, now).await?"
plant "a token that has ended by one clock is not ended for clocks that are behind" \
    src/authority/move_in/supersede.rs \
    "if !can_change || here.expires().has_come(end) {" \
    "if !can_change || here.expires().has_come(now) {"
plant "a run that stops loses what names the newest token" \
    src/authority/move_in/supersede.rs \
    "self.rotated_here_alone(record, here).await?.into_iter().rev()" \
    "self.rotated_here_alone(record, here).await?.into_iter()"
plant "a row that nobody can check keeps a move from its revocation" \
    src/authority/move_in/supersede.rs \
    "self.is_intact(row).unwrap_or(false)" \
    "self.is_intact(row)?"
plant "what only this host issued outlives a rotation without overlap" \
    src/authority/move_in/supersede.rs \
    "let had_overlap = !record.expires().has_come(*created_there);" \
    "let had_overlap = true || record.expires().has_come(*created_there);"
plant "a host tells others of an overlap that the source did not give" \
    src/authority/move_in/row.rs \
    "let is_sooner = record.expires().is_later_than(end);" \
    "let is_sooner = false && record.expires().is_later_than(end);"
plant "a rotation to a token that is revoked here spares what only this host issued" \
    src/authority/move_in/supersede.rs \
    "let is_good = new.revocation().is_none();" \
    "let is_good = true;"
plant "what only this host issued outlives a rotation to less" \
    src/authority/move_in/supersede.rs \
    "let took_away = issue::is_less(new.access(), new.expires(), &[here], policy);" \
    "let took_away = false && issue::is_less(new.access(), new.expires(), &[here], policy);"
plant "a rotation with an overlap ends what only this host issued" \
    src/authority/move_in/supersede.rs \
    "Ok(had_overlap && is_good && !took_away)" \
    "Ok(had_overlap && is_good && !took_away && false)"
plant "an unknown successor spares what only this host issued" \
    src/authority/move_in/supersede.rs \
    "let Some(created_there) = others.created_there.get(&successor) else { return Ok(false) };" \
    "let Some(created_there) = others.created_there.get(&successor) else { return Ok(true) };"
plant "what is issued while a token is superseded outlives it" \
    src/authority/move_in/supersede.rs \
    "if ends_issued && replaced == Replaced::Done {" \
    "if false && ends_issued && replaced == Replaced::Done {"
plant "a rotation ends what the rest of the file calls good" \
    src/authority/move_in/supersede.rs \
    "if !alone.is_empty() && !others.whole_file_was_read {" \
    "if false && !alone.is_empty() && !others.whole_file_was_read {"
plant "a token that is in use there and was replaced here is not reported" \
    src/authority/move_in/carry.rs \
    "if !record.is_unused() {" \
    "if false && !record.is_unused() {"
plant "an overlap that only this host goes on with is not reported" \
    src/authority/move_in/carry.rs \
    "here.expires().is_later_than(record.expires()) && !here.expires().has_come(now)" \
    "false && here.expires().is_later_than(record.expires())"
plant "a line that the source revoked goes on by its rotation here" src/authority/move_in/line.rs \
    "        && !was_replaced(record)" \
    "        && was_replaced(record)"
plant "a replaced token takes its line along" src/authority/move_in/carry.rs \
    "if record.successor().is_some() || was_replaced(record) {" \
    "if record.successor().is_some() {"
plant "a replaced token that was rotated here takes its line along" \
    src/authority/move_in/carry.rs \
    "if record.successor().is_some() || was_replaced(record) {" \
    "if record.successor().is_some() || was_replaced(record) && here.successor().is_none() {"
plant "a line of which nothing lives here any more is not reported" \
    src/authority/move_in/carry.rs \
    "if line.living.is_some() || line.revocation.is_some() {" \
    "if true || line.living.is_some() || line.revocation.is_some() {"
plant "what was rotated here before a leak here is not reported" src/authority/move_in/carry.rs \
    "&& !self.rotated_here_alone(record, here).await?.is_empty()" \
    "&& false && !self.rotated_here_alone(record, here).await?.is_empty()"
plant "an end by a clock that is ahead lies in the future" src/authority/move_in/row.rs \
    "if record.successor().is_none() || !end.has_come(written_at) || end.has_come(now) {" \
    "if true || !end.has_come(written_at) || end.has_come(now) {"
plant "a token whose line was revoked beside it counts as good" src/authority/move_in.rs \
    "return Ok(Some(Outcome::NewRevoked));" \
    "_ = Outcome::NewRevoked;"
plant "the age of a file is not checked" src/authority/move_in.rs \
    "if source.written_at.saturating_add(kept_for) < self.now() {" \
    "if false && source.written_at.saturating_add(kept_for) < self.now() {"
plant "a token of Laravel Sanctum can't be sent by Bearer" src/web/credentials.rs \
    "token68(token, |byte| is_b64token_byte(byte) || byte == b'|');" \
    "token68(token, is_b64token_byte);"
plant "guesses at imported tokens are not held back" src/import/brake.rs \
    "        held_back.is_none()" \
    "        held_back.is_none() || true"
plant "a guess counts once, however many rows it is compared with" src/import/brake.rs \
    "i64::try_from(self.rows).unwrap_or(BURST).min(BURST) * SECONDS_EACH" \
    "SECONDS_EACH"
plant "a look-up with many rows is never tried" src/import/brake.rs \
    "i64::try_from(self.rows).unwrap_or(BURST).min(BURST) * SECONDS_EACH" \
    "i64::try_from(self.rows).unwrap_or(BURST) * SECONDS_EACH"
plant "a text that one brake holds back counts on the others" src/import/brake.rs \
    "self.forgive(&all[..held_back]);" \
    "_ = held_back;"
plant "the number of an import's candidate is left out of its id" src/import/place.rs \
    "let bits = self.hmac(b\"ati1\", &parts, &candidate.to_be_bytes());" \
    "let bits = self.hmac(b\"ati1\", &parts, &[0; 4]); _ = candidate;"
plant "the realm is left out of the id of an imported token" src/import/place.rs \
    "let parts = [self.realm.as_bytes(), scheme.as_bytes(), lookup.bytes()];" \
    "let parts = [scheme.as_bytes(), lookup.bytes()];"
plant "a hash of Argon2 may take all memory" src/import/argon2.rs \
    "!(8 * p..=131_072).contains(&m)" \
    "!(8 * p..=u32::MAX).contains(&m)"
plant "a number in a hash may be written in two ways" src/import/phc.rs \
    "(number.to_string() == text).then_some(number)" \
    "Some(number)"
plant "a hash of bcrypt may be written in two ways" src/import/bcrypt.rs \
    "if parts.format_for_version(version) != hash {" \
    "if parts.format_for_version(version).is_empty() {"
plant "the beginning of a text is enough for bcrypt" src/import/bcrypt.rs \
    "text.len() <= 72 && !text.contains('\\0')" \
    "!text.contains('\\0')"
plant "PBKDF2 may take hours" src/import/pbkdf2.rs \
    "if !(1..=2_000_000).contains(&iterations) {" \
    "if iterations == 0 {"
plant "any forty characters are looked up as Forgejo's" src/import/forgejo.rs \
    "if text.len() != 40 || !is_lower_hex(text) {" \
    "if text.len() != 40 {"
plant "a row alone makes a JWT good" src/import/jwt.rs \
    "let is_signed = self.is_signed(text);" \
    "let is_signed = true;"
plant "the signing key that everybody knows is accepted" src/import/jwt.rs \
    "if key.is_empty() || key.eq_ignore_ascii_case(DOCUMENTED_KEY) {" \
    "if key.is_empty() {"
plant "zeros at its end make another signing key of the known one" src/import/jwt.rs \
    "end.is_whitespace() || end == '\\0'" \
    "end.is_whitespace()"
plant "a UUID without random bits is taken for one with them" src/import/uuid.rs \
    "14 => byte == b'4'," \
    "14 => true,"
plant "a damaged row keeps its owner's other imported tokens out" src/authority/foreign.rs \
    "                continue;" \
    "                break;"
plant "a row that can't be compared keeps others of its owner out" src/authority/foreign.rs \
    "Compared::Unclear(reason) => *unclear = Some(reason)," \
    "Compared::Unclear(reason) => { *unclear = None; \
return Err(Failed::from(reason).into()) }"
plant "a row with a newer digest is passed over by a foreign text" src/authority/foreign.rs \
    "return Compared::Unclear(StatusUnclear::DigestScheme(digest.scheme()));" \
    "return Compared::Other;"
plant "the time tells which candidate a foreign text belongs to" src/authority/foreign.rs \
    "hashes.iter().map(|(scheme, kept)| verify(&**scheme, kept)).collect()" \
    "hashes.iter().scan(false, |found, (scheme, kept)| { let is_match = !*found && \
verify(&**scheme, kept); *found |= is_match; Some(is_match) }).collect()"
plant "a weak text is compared with what is written before its secret" src/authority/foreign.rs \
    "Some(key) => digest.is_of_same_text(&Digest::keyed(key, scheme.secret_part(text)))," \
    "Some(key) => digest.is_of_same_text(&Digest::keyed(key, text)),"
plant "a foreign text of any length is hashed" src/authority/foreign.rs \
    "let is_too_long = text.is_empty() || text.len() > ForeignText::MAX_BYTES;" \
    "let is_too_long = text.is_empty();"
plant "a text with a former prefix is tried as a foreign one" src/authority/foreign.rs \
    "self.engine.policy.accepted_prefixes().iter().any(|prefix| {" \
    "self.engine.policy.accepted_prefixes().iter().take(1).any(|prefix| {"
plant "a foreign text that begins with the letters of our prefix is not tried" \
    src/authority/foreign.rs \
    "begins && text.get(prefix.len()) == Some(&b'_')" \
    "begins"
plant "an imported token's own use is read after its row" src/authority/foreign.rs \
    "let Some(row) = self.store.find(id).await? else { continue };" \
    "let Some(row) = self.store.find(id).await? else { continue }; let own_use = self.own_use(id).\
or(own_use.filter(|_| false));"
plant "of two imports of one owner at once one is refused" src/authority/import.rs \
    "Inserted::IdTaken => {}" \
    "Inserted::IdTaken => return Ok(Imported::TooManyCandidates),"
plant "a rotated row of two of one foreign text does not decide" src/authority/foreign.rs \
    "record.revocation().is_some() || record.successor().is_some()" \
    "record.revocation().is_some()"
plant "tokens are imported beside rows under a missing key" src/authority/import.rs \
    "self.refuse_with_missing_keys().await?;" \
    ""
plant "what was rotated here counts as the old system's" src/record/imported.rs \
    "let is_first = self.family() == self.id() && self.derived_from().is_none();" \
    "let is_first = true;"
plant "a look-up of one token reads as many rows as a shared one" src/import.rs \
    "if lookup.is_shared() { self.max_candidates.get() } else { 1 }" \
    "self.max_candidates.get()"
plant "the host's number of candidates is not kept" src/import.rs \
    "Import { max_candidates: most, ..self }" \
    "{ _ = most; self }"
plant "slow checks wait without bound" src/import/slow.rs \
    "let more = |count| (count < most).then_some(count + 1);" \
    "let more = |count| (count < most || true).then_some(count + 1);"
plant "a caller who gives up lets another slow check run beside theirs" src/import/slow.rs \
    "let _permit = permit;" \
    ""
plant "a transfer file is sealed under the transfer key itself" src/transfer/key.rs \
    "RunningSeal(keyed(&*derived))" \
    "RunningSeal(keyed(&self.0))"
plant "the seals of a transfer file are not compared" src/transfer/file.rs \
    "if is_right { Ok(content) } else { Err(changed) }" \
    "if is_right || true { Ok(content) } else { Err(changed) }"
plant "the numbers at the end of a transfer file are not compared" src/transfer/file.rs \
    "(\"end\", _) if rest == format!(\"{} {}\", self.rows, self.left) => {" \
    "(\"end\", _) => {"
plant "a transfer file may go on after its end" src/transfer/file.rs \
    "if is_over { Ok(()) } else { Err(TransferError::GoesOn) }" \
    "if is_over || true { Ok(()) } else { Err(TransferError::GoesOn) }"
plant "a transfer file is not read through before it is taken in" src/transfer/file.rs \
    "while let Some(line) = lines.next_line()? {" \
    "while let Some(line) = lines.next_line()?.filter(|_| false) {"
plant "a transfer file is read again from another place" src/transfer/file.rs \
    "self.reader.seek(SeekFrom::Start(self.start))?;" \
    "self.reader.seek(SeekFrom::Start(0))?;"
plant "a transfer file is not flushed" src/transfer/file.rs \
    "        self.out.flush()" \
    "        Ok(())"
plant "a row without a right seal moves" src/authority/move_out.rs \
    "self.refuse_unless_intact(&row)?;" \
    "_ = self.refuse_unless_intact(&row);"
plant "the seal of a row moves" src/authority/move_out.rs \
    "(parts.seal, parts.key_id, parts.revision) = (None, NO_KEY, 0);" \
    "(parts.key_id, parts.revision) = (NO_KEY, 0);"
plant "the attributes of a revoked row move" src/authority/move_out.rs \
    "(*access, *attributes, *issued_by) = (Access::nothing(), Attributes::new(), None);" \
    "(*access, *issued_by) = (Access::nothing(), None); _ = attributes;"
plant "what was issued under an imported token stays behind" src/record/imported.rs \
    "let is_first = self.family() == self.id() && self.derived_from().is_none();" \
    "let is_first = self.family() == self.id();"
plant "an export that failed is told as a whole one" src/authority/move_out.rs \
    "run.report = Some((report.tokens + report.revoked, false));" \
    "run.report = Some((report.tokens + report.revoked, true));"
plant "tokens are taken in without upkeep" src/authority/move_in.rs \
    "self.refuse_without_upkeep()?;" \
    ""
plant "a file is too old at once if revoked rows are hardly kept" src/authority/move_in.rs \
    "let kept_for = policy.retention().max(SHORTEST_RETENTION);" \
    "let kept_for = policy.retention();"
plant "a file revokes a token here by its id alone" src/authority/move_in/carry.rs \
    "if here.digest() != record.digest() || here.owner() != record.owner() {" \
    "if here.owner() != record.owner() {"
plant "a moved revocation lies in the future" src/authority/move_in/revoke.rs \
    "let revocation = at_most(revocation.clone(), now);" \
    "let revocation = revocation.clone();"
plant "a moved revocation is not told" src/authority/move_in/revoke.rs \
    "let reason = &revocation.reason;" \
    "let reason = &revocation.reason; if true { return }"
plant "a rotation there lets a token live longer here" \
    src/authority/move_in/supersede.rs \
    "expires: is_sooner.then_some(record.expires())," \
    "expires: Some(record.expires()),"
plant "a token that came back meanwhile counts as revoked" src/authority/move_in/revoke.rs \
    "Ok((inserted == Inserted::Done).then_some(Outcome::RevokedNow))" \
    "Ok((inserted == Inserted::Done || true).then_some(Outcome::RevokedNow))"
plant "a row that changed meanwhile counts as superseded" \
    src/authority/move_in/supersede.rs \
    "Ok((replaced == Replaced::Done).then_some(Outcome::SupersededNow))" \
    "Ok((replaced == Replaced::Done || true).then_some(Outcome::SupersededNow))"
plant "a revoked row here counts as its whole line" src/authority/move_in/line.rs \
    "found.revocation = of_current.or(of_any.filter(|_| !lives));" \
    "found.revocation = of_current.or(of_any);"
plant "a current token that was revoked here ends nothing that its line becomes there" \
    src/authority/move_in/line.rs \
    "of_current = of_current.or_else(known);" \
    "_ = known();"
plant "a damaged row of a revoked line lets its new token come in good" \
    src/authority/move_in/line.rs \
    "of_any = of_any.or(Some(Revocation { at, reason, by: by.clone() }));" \
    "_ = (at, reason);"
plant "an old token that was revoked here ends its line at the end of a run" \
    src/authority/move_in/carry.rs \
    "if record.revocation().is_none() && here.successor().is_none() {" \
    "if record.revocation().is_none() {"
plant "what was issued under a line that was revoked here comes in good" \
    src/authority/move_in/line.rs \
    "own.into_iter().chain(parent)" \
    "own.into_iter().chain(parent.filter(|_| false))"
plant "the owner beside the token is not compared" src/authority/authenticate.rs \
    "if verified.owner() != owner {" \
    "if false && verified.owner() != owner {"
plant "an owner may see another's token" src/authority.rs \
    "Actor::Owner(acting) => owner == Some(acting)," \
    "Actor::Owner(_) => owner.is_some(),"
plant "an owner's act is not limited to their own tokens" src/authority.rs \
    "is_theirs.then(|| Filter { owner: Some(acting.clone()), ..filter })" \
    "is_theirs.then(|| filter)"
plant "one token more than the limit" src/store/rules.rs \
    "others().count() >= limit as usize" \
    "others().count() > limit as usize"
plant "one token more than the limit, in SQL" src/store/sqlite/calls.rs \
    ">= i64::from(*limit)" \
    "> i64::from(*limit)"
plant "a use goes backwards" src/store/rules.rs \
    "if stored.at >= last_use.at && stored.at <= believed_until" \
    "if stored.at == last_use.at && stored.at <= believed_until"
plant "a new form is written whatever the revision" src/record/status.rs \
    "&& self.revision() == form.revision()" \
    ""
plant "what was issued under a revoked token lives on" src/store/rules.rs \
    "(filter.matches(row) || is_derived() && !filter.spares(row))" \
    "filter.matches(row)"
plant "what was issued under a line in use is revoked with an old row of it" src/store/rules.rs \
    "!record.is_some_and(|record| record.successor().is_some() && record.expires().has_come(at))" \
    "record.is_none_or(|_| at >= Timestamp::MIN)"
plant "a line that is named ends alone, if only ended rows of it are left" src/store/rules.rs \
    "let is_named = filter.id.or(filter.family).is_some();" \
    "let is_named = filter.id.is_some();"
plant "a line that is named ends alone, if only ended rows of it are left, in SQL" \
    src/store/sqlite/query.rs \
    "let over_by = filter.id.or(filter.family).map_or(revocation.at.as_unix(), |_| -1);" \
    "let over_by = filter.id.map_or(revocation.at.as_unix(), |_| -1);"
plant "an overlap reaches nothing that was issued under its line" src/store/rules.rs \
    "!record.is_some_and(|record| record.successor().is_some() && record.expires().has_come(at))" \
    "!record.is_some_and(|record| record.successor().is_some() && at >= Timestamp::MIN)"
plant "what was issued under a line in use is revoked with an old row of it, in SQL" \
    src/store/sqlite/sql.rs \
    "AND expires_at BETWEEN 0 AND ?) IS NOT TRUE\"" \
    "AND expires_at BETWEEN 0 AND ?) IS NOT NULL\""
plant "a damaged row reaches nothing that was issued under it, in SQL" src/store/sqlite/sql.rs \
    "WHERE (successor BETWEEN 0 AND 1125899906842623" \
    "WHERE (successor IS NOT NULL"
plant "a damaged version is taken for a newer form" src/store/row_bytes.rs \
    "let is_sound = complement == !version;" \
    "let is_sound = complement == !version || true;"
plant "a newer form is damage" src/store/row_bytes.rs \
    "let may_be_good = is_whole && !head.is_revoked;" \
    "let may_be_good = false;"
plant "a revoked row of a newer form is a failure" src/store/row_bytes.rs \
    "let may_be_good = is_whole && !head.is_revoked;" \
    "let may_be_good = is_whole;"
plant "a key goes while a damaged row needs it" src/authority/reseal.rs \
    "rows += found.len() as u64;" \
    "rows += found.iter().filter_map(Row::record).count() as u64;"
plant "a damaged row is purged by its end, in SQL" src/store/sqlite/query.rs \
    "row.record().is_some() || revoked_at().is_some_and(|at| at <= ended_by)" \
    "row.record().is_some() || revoked_at().is_none_or(|at| at <= ended_by)"
plant "a family that is excepted is revoked with the others" src/store/rules.rs \
    "is_derived() && !filter.spares(row)" \
    "is_derived()"
plant "an idle row takes a place" src/record/status.rs \
    "&& used_after.is_none_or(|limit| self.last_seen(now) > limit)" \
    ""
plant "a damaged row loses when it was revoked" src/row.rs \
    "revoked_at: Some(revocation.at)," \
    "revoked_at: row.revoked_at,"
plant "head and body of a row may disagree" src/store/row_bytes.rs \
    "body.record().is_some() && facts == agreed;" \
    "body.record().is_some();"
plant "a damaged revision stops a revoke, in SQL" src/store/sqlite/sql.rs \
    "WHEN revision < 9223372036854775807 THEN revision + 1" \
    "WHEN TRUE THEN revision + 1"
plant "a trigger in an SQLite file runs" src/store/sqlite/open.rs \
    "(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, self.runs_triggers)," \
    "(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true),"
plant "a trigger's table is compared in its own case only" src/store/sqlite/migrate.rs \
    "AND lower(tbl_name) IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')" \
    "AND tbl_name IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')"
plant "each step of a walk reads the rest of the table, in SQL" src/store/sqlite/sql.rs \
    "concat!(select_row!(), \" WHERE +id <= 1125899906842623\");" \
    "concat!(select_row!(), \" WHERE id <= 1125899906842623\");"
plant "a key that seals a row is taken out of those in use, in SQL" src/store/sqlite/sql.rs \
    "AND NOT EXISTS (SELECT 1 FROM app_tokens WHERE key_id = ?1 AND revoked_at IS NULL)" \
    ""
plant "a damaged row is current, in SQL" src/store/sqlite/calls.rs \
    "let stored = self.find(form.id())?.and_then(|row| row.record().cloned());" \
    "let stored = self.find(form.id())?.map(|row| row.record().unwrap_or(form).clone());"
plant "a purge looks at the part before its cursor no more" src/store/sqlite/walk.rs \
    "None if is_second_half || begun == Step::WHOLE.after => break," \
    "None => break,"
plant "a view that takes the place of an SQLite table is read" src/store/sqlite/open.rs \
    "(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, self.runs_triggers)," \
    "(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, true),"
plant "a connection that reads runs what an SQLite file holds" src/store/sqlite/open.rs \
    "settings.apply(&connection)?;" \
    "_ = settings;"
plant "a new connection reads from a file that replaced the opened one" \
    src/store/sqlite/reader.rs \
    "self.watch.check()?;" \
    ""
plant "a thread that drops the store waits for itself" src/store/sqlite/worker.rs \
    ".filter(|t| t.thread().id() != thread::current().id())" \
    ""
plant "the list shows the older of two uses" src/view.rs \
    "let own_use_is_later = own_use.as_ref().map(|own_use| own_use.at) > stored_at;" \
    "let own_use_is_later = own_use.as_ref().map(|own_use| own_use.at) < stored_at;"
plant "a use is noted a second late" src/usage_log.rs \
    "let recent = since.as_unix() + 1..=" \
    "let recent = since.as_unix()..="
plant "a token may be changed whatever its status" src/authority/change.rs \
    "ended => Err(ChangeError::NotActive(ended))," \
    "_ => Ok(()),"
plant "a token can be narrowed to more than it may" src/authority/change.rs \
    "if !self.engine.policy.includes(record.access(), &access) {" \
    "if false {"
plant "a rotated token can be extended" src/authority/change.rs \
    "self.refuse_superseded(&old, own_use, now).await?;" \
    ""
plant "a second rotation after the overlap replaces the successor" src/authority/change.rs \
    "let unused = self.refuse_ended(&old, own_use, now).and(found);" \
    "let unused = found;"
plant "a revoked token names its successor" src/authority/change.rs \
    "ended @ (Status::Revoked | Status::Tampered) => Ok(ChangeError::NotActive(ended))," \
    "Status::Revoked | Status::Tampered => Ok(ChangeError::Rotated { current: successor }),"
plant "a second rotation takes the wider access of both" src/issue.rs \
    "None => both.into_iter().find(within_both)" \
    "None => Some(both[0])"
plant "a token rotated without overlap lives on where a clock is behind" src/issue.rs \
    "0 => ended_everywhere(now)," \
    "0 => now,"
plant "a revocation ends one token of a line" src/authority/line.rs \
    "Some(family) => Filter { owner, family: Some(family), ..Filter::every_token() }," \
    "Some(_) => Filter { owner, ..Filter::of_id(id) },"
plant "an owner may revoke a row whose owner can't be read" src/authority.rs \
    "Actor::Owner(acting) => owner == Some(acting)," \
    "Actor::Owner(acting) => owner.is_none_or(|owner| owner == acting),"
plant "what is taken away lives on in an overlap" src/authority/change.rs \
    "self.refuse_overlapping(&old, now).await?;" \
    ""
plant "what is taken away lives on where a clock is behind" src/authority/change.rs \
    "self.overlapping(&line, issue::ended_everywhere(now)).await?;" \
    "self.overlapping(&line, now).await?;"
plant "a rotation lets an earlier overlap run on" src/authority/change.rs \
    "if old.record().family() != id {" \
    "if false {"
plant "a rotation to less access has the policy's overlap" src/issue.rs \
    "None if is_less => Duration::ZERO," \
    "None if false => Duration::ZERO,"
plant "a rotation to less access has an overlap if asked" src/issue.rs \
    "Some(asked) if is_less && asked.as_secs() > 0 => {" \
    "Some(_) if false => {"
plant "an overlap ends now, and later where a clock is behind" src/authority/line.rs \
    "let end = issue::ended_everywhere(self.now());" \
    "let end = self.now();"
plant "a tampered superseded row stands in the way" src/authority/line.rs \
    "if record.successor().is_some() && ends_later && self.is_intact(&row)? {" \
    "if record.successor().is_some() && ends_later {"
plant "tokens are issued beside rows under a missing key" src/authority/issue.rs \
    "if self.lacks_a_key().await? {" \
    "if false {"
plant "a check reads all rows under a missing key" src/authority/check.rs \
    "under_others.except_key_ids.push(key_id);" \
    ""
plant "a check overlooks wrong seals" src/authority/check.rs \
    "SealCheck::Wrong => report.tampered.push(id)," \
    "SealCheck::Wrong => {}"
plant "an examination is told each time" src/authority/examine.rs \
    "if self.engine.usage.examinations().note(view.id(), now, interval) {" \
    "if true {"
plant "the owner of a token that has ended is named" src/view.rs \
    "(status == Status::Active).then_some(view) }" \
    "Some(view) }"
plant "ended tokens crowd out active ones" src/authority/list.rs \
    "let has_ended = |token: &TokenView| token.status() != Some(Status::Active);" \
    "let has_ended = |_: &TokenView| false;"
plant "a new address is told each time" src/usage_log.rs \
    "let told = |address| self.addresses.note((record.id(), address), now, ADDRESS_TOLD_FOR);" \
    "let told = |_| true;"
plant "a new address within the interval is not told" src/usage_log.rs \
    "if stored.is_some_and(|stored| is_recent(stored.at) && !is_new(stored)) {" \
    "if stored.is_some_and(|stored| is_recent(stored.at)) {"
plant "a first use is told each time if its shard is full" src/usage_log.rs \
    "if is_first && self.first_uses.note(record.id(), now, Duration::MAX) {" \
    "if is_first {"
plant "a first use beside a flush is told twice" src/usage_log.rs \
    "if is_first && self.first_uses.note(record.id(), now, Duration::MAX) {" \
    "if is_first && (has_room || self.first_uses.note(record.id(), now, Duration::MAX)) {"
plant "reports are not bounded" src/usage_log.rs \
    "if order.len() > MAX_REPORTS" \
    "if order.len() > 2 * MAX_REPORTS"
plant "a report that was sent again is forgotten with its first one" src/usage_log.rs \
    "&& last.get(&oldest) == Some(&at)" \
    ""
plant "a key file that the group may read is taken" src/key_ring.rs \
    "if mode & 0o077 != 0 {" \
    "if mode & 0o027 != 0 {"
plant "two keys that are one for HMAC are taken" src/key_ring.rs \
    "*padded(other) == *padded(&key);" \
    "*other == **key;"
plant "a ring in place of a path is echoed" src/key_ring.rs \
    "if path.to_str().is_some_and(looks_like_a_ring) {" \
    "if false {"
plant "a token that lies across two pieces of a leaked text is missed" src/leak.rs \
    "let end = text.len().min(passed + LeakScan::PIECE + LeakReport::MAX_REACH);" \
    "let end = text.len().min(passed + LeakScan::PIECE);"
plant "of two leaked texts with one id only the first is tried" src/leak.rs \
    "let digest = presented.digest().to_bytes();" \
    "let mut digest = [0; 33];
    digest[..8].copy_from_slice(&presented.id().as_u64().to_be_bytes());"
plant "a leaked text is cut within a character" src/leak.rs \
    "self.rest = Some(self.character_start());" \
    "self.rest = Some(self.passed);"
plant "a token across two windows of digits is missed" src/disguise/layers.rs \
    "const OVERLAP: usize = 2 * MAX_SPAN;" \
    "const OVERLAP: usize = 0; const _: usize = MAX_SPAN;"
plant "base64 is read from the first digit of a row only" src/disguise/layers.rs \
    "for passed in [0, 2, 4, 6] {" \
    "for passed in [0] {"
plant "a secret in the third layer is missed" src/disguise/layers.rs \
    "const MAX_DEPTH: usize = 3;" \
    "const MAX_DEPTH: usize = 2;"
plant "a client's name is shown with all that it came with" src/text.rs \
    "if !head.contains(is_forbidden) {" \
    "if true {"
plant "a client's name makes room for no more than it drops" src/text.rs \
    "client.chars().filter(|c| !is_forbidden(*c)).take(MAX_CLIENT_CHARS).collect()" \
    "head.chars().filter(|c| !is_forbidden(*c)).collect()"
plant "a load of the key ring waits for a pipe" src/key_ring.rs \
    "Ok(metadata) if metadata.is_file() => Ok(())," \
    "Ok(metadata) if !metadata.is_dir() => Ok(()),"
plant "a new ring is made where the old one is not mounted" src/key_ring.rs \
    "Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {" \
    "Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_file() => {"
plant "networks that are missing from what serde reads mean everywhere" src/shapes.rs \
    "    networks: Selection<Network>," \
    "    #[serde(default = \"all\")] networks: Selection<Network>,
    } fn all() -> Selection<Network> { Selection::All"
plant "a limit that is unknown to serde is overlooked" src/shapes.rs \
    "#[serde(deny_unknown_fields, rename = \"Access\")]" \
    "#[serde(rename = \"Access\")]"
plant "an SQLite file that is replaced while it is opened is written to" src/store/sqlite/watch.rs \
    "if before.is_ok_and(|before| before != files[0].1) {" \
    "if false && before.is_ok_and(|before| before != files[0].1) {"
plant "readers trust an SQLite file that a check found missing" src/store/sqlite/watch.rs \
    "let trusted_until = if is_there { milliseconds(now) + TRUSTED_MILLIS } else { 0 };" \
    "if !is_there { return Err(gone()) } let trusted_until = milliseconds(now) + TRUSTED_MILLIS;"
plant "a commit into an SQLite file that was moved is done" src/store/sqlite/writer.rs \
    "Err(error) => TransactionEnd::Unknown(error.into())," \
    "Err(_) => TransactionEnd::Committed,"
plant "a change that ends an SQLite transaction fails those beside it" src/store/sqlite/writer.rs \
    "if jobs.len() == 1 || !matches!(together, TransactionEnd::Spoiled(_)) {" \
    "if jobs.len() == 1 || !matches!(together, TransactionEnd::Spoiled(_)) || true {"
plant "an SQLite commit that failed midway is not done" src/store/sqlite/writer.rs \
    "Ok(_) if is_busy(&error) => TransactionEnd::NotDone(error.into())," \
    "Ok(_) => TransactionEnd::NotDone(error.into()),"
plant "a panic during a change empties a part of the memory store" src/store/memory/shards.rs \
    "let value = Arc::new(std::mem::take(&mut self.value));" \
    "let value = std::mem::take(&mut self.value);
    let value = Arc::new(if std::thread::panicking() { T::default() } else { value });"
plant "a panic during a change locks a part of the memory store" src/store/memory/shards.rs \
    ".map(|stripe| stripe.0.write().unwrap_or_else(PoisonError::into_inner));" \
    ".map(|stripe| stripe.0.write().unwrap());"
plant "an empty list in a column means everything" src/store/columns.rs \
    "Some(\"\") => Vec::new()," \
    "Some(\"\") => return Some(Selection::All),"
plant "a list in a column may be in any order" src/store/columns.rs \
    "items.is_sorted_by(|one, next| one < next).then(|| Selection::Only(items.into()))" \
    "Some(Selection::Only(items.into()))"
plant "a damaged instant in a column undoes the revocation" src/store/columns.rs \
    "is_revoked: self.revoked_at.is_some()," \
    "is_revoked: self.revoked_at.and_then(as_time).is_some(),"
plant "a text with spaces around it in a column is read" src/store/columns.rs \
    "make(stored).ok().filter(|made| made.as_ref().len() == stored.len())" \
    "make(stored).ok()"
plant "a NULL id in a column is the id of a token" src/store/columns.rs \
    "id: number(0)?.unwrap_or(NO_ID)," \
    "id: number(0)?.unwrap_or(0),"
plant "the length of a network is not sealed" src/seal.rs \
    "bytes.text(&network.to_string());" \
    "bytes.text(network.to_string().split('/').next().unwrap_or_default());"
plant "a use outside its networks is noted" src/authority/authenticate.rs \
    "self.report_outside(&row, origin, now);" \
    "self.report_outside(&row, origin, now); self.note_use(&row, origin, now);"
plant "a clock that was set back puts off the purge" src/upkeep.rs \
    "now < last || now >= last" \
    "now >= last"
plant "a label can pass for a field of a log of text" src/tracing_observer.rs \
    "token.map(|token| token.label().as_str())" \
    "token.map(|token| display(token.label()))"
plant "a change whose answer nobody heard is not told" src/event.rs \
    "if self.count > 0 || !self.is_certain {" \
    "if self.count > 0 {"
plant "an overlap is as long as anybody likes" src/issue.rs \
    "if overlap > policy.max_overlap() {" \
    "if false {"
plant "what may do more than a narrowed token lives on" src/issue.rs \
    "!policy.includes(access, than.access()) || than" \
    "than"
plant "what was issued under a rotated token lives on" src/authority/change.rs \
    "let revoked_derived = is_less || old_ends.has_come(now);" \
    "let revoked_derived = is_less;"
plant "a slip takes all tokens instead of all others" src/authority/revoke.rs \
    "self.refuse_ended(&row, own_use, now)?;" \
    ""
plant "what a rotated token is to keep goes by the old one" src/authority/revoke.rs \
    "self.refuse_superseded(&row, own_use, now).await?;" \
    ""
plant "all others are everybody's" src/authority/revoke.rs \
    "let others = Filter { except_family: Some(family), ..Filter::of_owner(owner) };" \
    "let others = Filter { except_family: Some(family), ..Filter::every_token() };"
plant "a leak is believed by its id" src/authority/revoke.rs \
    "match presented.matched(self.store.find(id).await?) {" \
    "match self.store.find(id).await?.and_then(|r| r.into_readable()).ok_or(Unmatched::NoRow) {"
plant "dead rows are not kept" src/authority/revoke.rs \
    "let ended_by = now.saturating_sub(policy.retention());" \
    "let ended_by = now;"
plant "the prefix is read in lower case only" src/token.rs \
    "head.eq_ignore_ascii_case(prefix.as_str())" \
    "head == prefix.as_str()"
plant "the checksum is not compared" src/token.rs \
    "if checksum != expected.value() {" \
    "if false {"

sql=src/store/postgres/sql.rs
revoke_sql=src/store/postgres/sql/revoke.rs
purge_sql=src/store/postgres/sql/purge.rs
calls=src/store/postgres/calls.rs
statements=src/store/postgres/statements.rs
plant "a route that requires nothing hands out the caller" src/web/extract.rs \
    "if parts.extensions.get::<Required>().is_none() {" \
    "if false {"
plant "what an outer layer required counts behind an inner one" src/web/layer.rs \
    "parts.extensions.remove::<Required>();" \
    ""
plant "a report of a refusal holds what was sent" src/web/layer.rs \
    "gate.remove_secrets(&mut parts.headers);" \
    ""
plant "the host's own header goes inward" src/web/layer.rs \
    " headers.remove(header);" \
    "_ = header;"
plant "a sign-in by password is not told where it is from" src/web/layer.rs \
    "let found = other_way(credentials.into_owned(), origin).await" \
    "let found = other_way(credentials.into_owned(), Origin::unknown()).await"
plant "a response of a refusal does not hold its answer" src/web/answer.rs \
    "response.extensions_mut().insert(self);" \
    ""
plant "the answer in a response has another noun than its text" src/web/challenge_layer.rs \
    "answer.body.clone_from(&body);" \
    "_ = answer;"
plant "a script gets the challenge of the host's own" src/web/challenge_layer.rs \
    "if is_silent {" \
    "if false {"
plant "a compressed text is written over" src/web/challenge_layer.rs \
    "let is_as_made = !headers.contains_key(CONTENT_ENCODING)" \
    "let is_as_made = true"
plant "another challenge is written beside the host's own" src/web/challenge_layer.rs \
    "} else if !response.headers().contains_key(WWW_AUTHENTICATE) {" \
    "} else {"
plant "a request without a token passes a route that requires" src/web/require.rs \
    "if !self.without_token.as_ref().is_some_and(|admits| admits(&parts.extensions)) {" \
    "if self.without_token.is_none() && false {"
plant "a route forgets its resource" src/web/require.rs \
    "Some(resource) => self.requirement.on(resource)," \
    "Some(_) => self.requirement,"
plant "a mistyped token is tried as a password" src/web/login.rs \
    "Err(AuthError::NotOurs(_)) if claims_to_be_a_token(text, self.accept.prefixes()) => {" \
    "Err(AuthError::NotOurs(_)) if false => {"
plant "an imported token as user name is handed to the host" src/web/login.rs \
    "if let Some(name) = name.filter(|name| stands_alone(name, secret)) {" \
    "if let Some(name) = name.filter(|_| false) {"
plant "an imported token enters as user name where none may" src/web/login.rs \
    "Ok(_) if !self.accept.token_as_user_name => {" \
    "Ok(_) if false => {"
plant "a blank password is tried as an imported token" src/web/login.rs \
    "if secret.trim().is_empty() {" \
    "if secret.is_empty() {"
plant "a blank password is handed to the host" src/web/login.rs \
    "Err(Refusal::NotOurs) if !credentials.expose_secret().trim().is_empty() => {" \
    "Err(Refusal::NotOurs) => {"
plant "a token in a foreign scheme is handed to the host" src/web/credentials.rs \
    "if is_or_hides_a_token(value, &accept.prefixes) {" \
    "if false {"
plant "a second token in another header is not seen" src/web/headers.rs \
    "(Some(token), Some(value)) if holds_another_token(value, &token, accept) => {" \
    "(Some(token), Some(value)) if false && holds_another_token(value, &token, accept) => {"
plant "a second token in a malformed header is not seen" src/web/credentials.rs \
    "Err(_) => is_or_hides_a_token(authorization, &accept.prefixes)," \
    "Err(_) => false,"
plant "an address without a program drops the User-Agent" src/present.rs \
    "Origin { client: self.client.or(client), ..self }" \
    "Origin { client: self.client.or(client).filter(|_| self.address.is_none()), ..self }"
plant "an escape reaches beyond the end of the text" src/disguise/characters.rs \
    "let is_closed = digits.get(length) == Some(&b'}');" \
    "let is_closed = true;"
plant "a number too great for a character wraps" src/disguise/characters.rs \
    "number.saturating_mul(radix).saturating_add(digit);" \
    "number.wrapping_mul(radix).wrapping_add(digit);"
plant "the client's own entry in X-Forwarded-For is believed" src/web/client_address.rs \
    "for hop in lines.flat_map(|line| line.rsplit(|byte| *byte == b',')) {" \
    "for hop in lines.flat_map(|line| line.split(|byte| *byte == b',')) {"
plant "a proxy that says nothing is the client" src/web/client_address.rs \
    "let mut client = None;" \
    "let mut client = Some(peer);"
plant "a client reads the words of the store" src/web/client_safe.rs \
    "Certainty::NotDone => unavailable()," \
    "Certainty::NotDone => Answer::new(503, \"unavailable\", self.to_string()),"
plant "an owner's lock row is not locked, in PostgreSQL" $sql \
    "DO UPDATE SET owner = EXCLUDED.owner" \
    "DO NOTHING" \
    in_its_own_tables::a_limit_holds
plant "a limit is counted without the lock, in PostgreSQL" $calls \
    "if limit.is_some() || *unique_label {" \
    "if *unique_label {" \
    in_its_own_tables::a_limit_holds
plant "labels are not compared, in PostgreSQL" $calls \
    "if *unique_label && conflicts.label_taken {" \
    "if false {" \
    in_its_own_tables::
plant "a parent's state is not asked, in PostgreSQL" $calls \
    "refusal @ (Inserted::IdTaken | Inserted::Stale) => return Ok(refusal)," \
    "refusal @ Inserted::IdTaken => return Ok(refusal), Inserted::Stale => {}" \
    in_its_own_tables::insert_under
plant "a rotation is done whatever the rules say, in PostgreSQL" $calls \
    "if answer != Superseded::Done {" \
    "if answer == Superseded::IdTaken {" \
    in_its_own_tables::supersede_of_a_
plant "a token is issued under another owner's, in PostgreSQL" $calls \
    "rows.into_iter().filter(|other| other.owner() == row.owner()).collect()" \
    "rows.into_iter().filter(|other| other.id() == row.id() || true).collect()" \
    in_its_own_tables::insert_under
plant "what a trigger kept out counts as done, in PostgreSQL" $statements \
    "if !row.try_get::<_, bool>(0)? {" \
    "if false {" \
    triggers::a_change
plant "a revocation that a trigger kept out counts as done, in PostgreSQL" $statements \
    "if !row.try_get::<_, bool>(2)? {" \
    "if false {" \
    triggers::a_revocation
plant "a key that is being written is deleted, in PostgreSQL" $purge_sql \
    "WHERE pg_try_advisory_xact_lock(hashtextextended('app_tokens_keys', key_id))\";" \
    "\";" \
    keys::
plant "what was issued under a revoked token lives on, in PostgreSQL" $revoke_sql \
    "JOIN families ON child.owner" \
    "JOIN families ON FALSE AND child.owner" \
    in_its_own_tables::no_derived
plant "a revocation forgets the families that it has ended, in PostgreSQL" $revoke_sql \
    "WHERE NOT \$7 AND revoked_at" \
    "WHERE FALSE AND NOT \$7 AND revoked_at" \
    races::a_token_issued_under
plant "a revocation looks once, in PostgreSQL" $revoke_sql \
    "+ (SELECT count(*) FROM app_tokens WHERE revoked_at IS NULL AND" \
    "+ (SELECT count(*) FROM app_tokens WHERE FALSE AND" \
    races::
plant "a use goes backwards, in PostgreSQL" $sql \
    "last_used_at < uses.at" \
    "last_used_at <> uses.at" \
    in_its_own_tables::touch
plant "a purge sees no living child, in PostgreSQL" $purge_sql \
    "WHERE other.owner = app_tokens.owner AND other.derived_from = app_tokens.family" \
    "WHERE FALSE AND other.owner = app_tokens.owner AND other.derived_from = app_tokens.family" \
    in_its_own_tables::purge
plant "what was issued under a line in use is revoked with an old row of it, in PostgreSQL" \
    $revoke_sql \
    "expires_at BETWEEN 0 AND \$13) IS NOT TRUE\"" \
    "expires_at BETWEEN 0 AND \$13) IS NOT NULL\"" \
    in_its_own_tables::what_was_issued
plant "a line that is named ends alone, if only ended rows of it are left, in PostgreSQL" \
    $revoke_sql \
    "(\$1 IS NULL AND \$3 IS NULL AND successor" \
    "(\$1 IS NULL AND successor" \
    in_its_own_tables::what_was_issued
plant "a damaged row is purged by its end, in PostgreSQL" $statements \
    "rules::purge(&dead, 1, slice::from_ref(row)).answer == 1;" \
    "rules::purge(&dead, 1, slice::from_ref(row)).answer < 2;" \
    in_its_own_tables::a_damaged
plant "damaged rows fill the limit of a purge, in PostgreSQL" $statements \
    "kept.extend(others.iter().map(|row| number(row.id())));" \
    "kept.extend(others.iter().map(|row| number(row.id()))); if true { return Ok(count); }" \
    in_its_own_tables::a_damaged
plant "a partitioned table is accepted, in PostgreSQL" src/store/postgres/catalogue.rs \
    "FROM there WHERE relkind <> 'r'" \
    "FROM there WHERE relkind NOT IN ('r', 'p')" \
    triggers::a_partitioned
plant "a key under which a row is being resealed is deleted, in PostgreSQL" $sql \
    "SELECT key_id, pg_advisory_xact_lock_shared(hashtextextended('app_tokens_keys', key_id))" \
    "SELECT key_id" \
    keys::a_key_stays
plant "a trigger that always fires is accepted, in PostgreSQL" src/store/postgres/catalogue.rs \
    "WHERE NOT tgisinternal AND tgenabled <> 'D'" \
    "WHERE NOT tgisinternal AND tgenabled = 'O'" \
    triggers::objects_the_host
plant "row-level security without a policy is accepted, in PostgreSQL" \
    src/store/postgres/catalogue.rs \
    "WHERE relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = there.oid)" \
    "WHERE FALSE" \
    triggers::objects_the_host
plant "a store does not look at other tables, in PostgreSQL" src/store/postgres.rs \
    "PostgresStore { table, state: Arc::default(), ..self }" \
    "PostgresStore { table, ..self }" \
    triggers::a_store_looks
plant "tables that are missing count as looked at, in PostgreSQL" src/store/postgres.rs \
    "self.state.is_checked.store(objects.are_complete, Ordering::Relaxed);" \
    "self.state.is_checked.store(true, Ordering::Relaxed);" \
    triggers::a_store_looks
plant "a purge looks once, in PostgreSQL" $purge_sql \
    "DELETE FROM app_tokens WHERE id = ANY (\$5) AND" \
    "DELETE FROM app_tokens WHERE id = ANY (\$5) OR FALSE AND" \
    purge_races::a_purge
plant "a named row that has ended reaches nothing, in PostgreSQL" $revoke_sql \
    "(\$1 IS NULL AND \$3 IS NULL AND successor" \
    "(\$3 IS NULL AND successor" \
    in_its_own_tables::what_was_issued
plant "all lock rows are purged at once, in PostgreSQL" $purge_sql \
    "ORDER BY owner LIMIT \$1 FOR UPDATE" \
    "ORDER BY owner FOR UPDATE" \
    purge_races::the_lock_rows
plant "a lost COMMIT is not done, in PostgreSQL" src/store/postgres.rs \
    "Err(ChangeFailed::AtCommit(error)) if is_refused(&error) =>" \
    "Err(ChangeFailed::AtCommit(error)) if is_refused(&error) || true =>" \
    lost::a_call_that_is_cut
plant "a connection whose call was given up goes back, in PostgreSQL" \
    src/store/postgres/connection.rs \
    "if matches!(timeout(ABANDON_TIMEOUT, self.simple_query(\"\")).await, Ok(Ok(_))) {" \
    "{" \
    dropped::a_read
plant "a time-out ends a large revocation, in PostgreSQL" $calls \
    "self.0.id.is_none()" \
    "false" \
    errors::a_revocation

if [ "$only" = --lines ]; then
    echo "$planted lines to plant bugs in"
    exit
fi
echo
echo "$planted bugs planted, $survived survived"
[ "$survived" -eq 0 ]
