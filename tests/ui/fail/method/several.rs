use std::{future::Future, pin::Pin};

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    fn helper(text: String) -> String {
        text
    }
    const fn limit(&self) -> u8;
    extern "C" fn raw(&self, text: String) -> String;
    fn boxed(&self) -> Pin<Box<dyn Future<Output = u8> + Send + '_>>;
    async fn borrow<'a>(&'a self, text: &'a str);
    async fn lifetime<'a>(&'a self);
    async fn generic<T>(&self, text: T)
    where
        T: Into<String>;
}

fn main() {}
