//! What the command reads.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Upper bound on the bytes of a secret.
pub(crate) const MAX_SECRET: u64 = 1 << 20;

/// Upper bound on the bytes of the arguments of a call as JSON. A call takes 4 MiB, for which JSON may need several times as
/// many bytes: `\u0000` stands for one byte.
pub(crate) const MAX_ARGUMENTS: u64 = 32 << 20;

/// Upper bound on the bytes of the description of a cluster.
pub(crate) const MAX_DESCRIPTION: u64 = 256 << 20;

/// Reads the standard input, of at most `limit` bytes.
pub(crate) fn read_stdin(limit: u64) -> Result<String, String> {
    let read = read(io::stdin().lock(), limit);
    read.map_err(|error| format!("the standard input cannot be read: {error}"))
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> io::Result<String> {
    read(File::open(path)?, limit)
}

fn read(from: impl Read, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    // Not `read_to_string`: the limit may be within a character.
    let size = from.take(limit + 1).read_to_end(&mut bytes)?;
    if size as u64 > limit {
        return Err(io::Error::other(format!("it has more than {} MiB", limit >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_without_an_end_is_refused() {
        let error = read(io::repeat(0), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1 MiB");
        assert_eq!(read(&b"12345"[..], 5).unwrap(), "12345");
        assert!(read(&b"\xff"[..], 5).is_err());
    }
}
