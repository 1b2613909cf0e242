//! What is searched: files and standard input, decompressed if they are gzip.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

pub type Input = Box<dyn Read>;

/// How much of an input is looked at to tell what it is.
const HEAD: u64 = 16;

/// Returns the name of each input, and the input or why it can't be opened. Each is opened when its
/// turn comes. Standard input has no name.
pub fn all(files: &[PathBuf]) -> impl Iterator<Item = (Option<&Path>, Result<Input, io::Error>)> {
    let named =
        files.iter().map(|path| Some(path.as_path()).filter(|path| path.as_os_str() != "-"));
    let unnamed = files.is_empty().then_some(None);
    named.chain(unnamed).map(|name| (name, open(name)))
}

fn open(name: Option<&Path>) -> Result<Input, io::Error> {
    let Some(path) = name else {
        return decompressed(Box::new(io::stdin()));
    };
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        let why = "it is a folder; name the files in it, as `find FOLDER -type f -exec` does";
        return Err(io::Error::other(why));
    }
    decompressed(Box::new(file))
}

/// Decompresses gzip, which rotated logs are. A file may have several parts, one after the other.
fn decompressed(mut input: Input) -> Result<Input, io::Error> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut head)?;
    let is_gzip = is_gzip(&head);
    let whole = Cursor::new(head).chain(input);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) })
}

/// Returns whether gzip begins here: RFC 1952, 2.3. The flags, the level and the system are looked
/// at, too, or random bytes would be gzip too often.
pub fn is_gzip(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1F, 0x8B, 8, 0..=0x1F, _, _, _, _, 0 | 2 | 4, 0..=13 | 255, ..])
}
