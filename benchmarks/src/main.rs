//! Measures flyrpc against raw TCP, tarpc, tonic and calls of the function itself.

fn main() -> std::process::ExitCode {
    flyrpc_benchmarks::main(|| 0)
}
