//! The error type of an alias of `Result` is reported once, although the alias is used with several types.

use flyrpc::fly_rpc;

struct Failure;

type Result<T> = std::result::Result<T, Failure>;

#[fly_rpc]
trait Notes {
    async fn count(&self) -> Result<u64>;
    async fn first(&self) -> Result<String>;
    async fn clear(&self) -> Result<()>;
}

fn main() {}
