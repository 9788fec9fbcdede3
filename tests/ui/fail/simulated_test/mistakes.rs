#[flyrpc_testkit::test]
fn not_async() {}

#[flyrpc_testkit::test]
async fn generic<T>() {}

#[flyrpc_testkit::test]
async fn two_arguments(seed: u64, other: u64) {}

#[flyrpc_testkit::test(seeds = 0..10, time_limit = "an hour")]
async fn wrong_limit() {}

#[flyrpc_testkit::test(seed = 3, check_determinism = true)]
async fn wrong_options() {}

#[flyrpc_testkit::test]
#[test]
async fn twice() {}

#[flyrpc_testkit::test(seeds = "0..10")]
async fn seeds_as_text() {}

#[flyrpc_testkit::test]
struct NotAFunction;

fn main() {}
