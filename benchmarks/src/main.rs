//! Measures what a call costs with flyrpc, raw TCP, tarpc, tonic and a direct call of the function.

fn main() -> std::process::ExitCode {
    flyrpc_benchmarks::main(|| 0)
}
