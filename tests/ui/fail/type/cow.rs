use std::{borrow::Cow, path::Path};

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: Cow<str>) -> Vec<std::borrow::Cow<[u8]>>;
    async fn find(&self, path: Cow<Path>, elided: Cow<'_, str>) -> Cow<'static, str>;
}

fn main() {}
