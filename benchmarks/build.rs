//! Generates tonic's client and server without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["proto/strings.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".strings").compile_fds(files)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
