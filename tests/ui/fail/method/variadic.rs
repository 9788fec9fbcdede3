#![allow(varargs_without_pattern)]

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String, ...) -> String;
}

fn main() {}
