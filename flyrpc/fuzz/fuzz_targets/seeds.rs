//! Writes the initial inputs of the targets to `corpus/`: bytes that well-behaved peers send.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    for (number, (target, bytes)) in flyrpc::fuzz::seeds().into_iter().enumerate() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{number}")), bytes)?;
    }
    Ok(())
}
