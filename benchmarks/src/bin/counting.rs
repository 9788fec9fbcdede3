//! The same program with an allocator that counts, which would slow down what is timed. The benchmark
//! builds it when it comes to count allocations.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> std::process::ExitCode {
    flyrpc_benchmarks::main(|| {
        let stats = INSTRUMENTED_SYSTEM.stats();
        (stats.allocations + stats.reallocations) as u64
    })
}
