use std::rc::Rc;

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: Rc<str>) -> Option<std::rc::Rc<Vec<u8>>>;
    /// A type of the user.
    async fn stored(&self) -> storage::Rc<u8>;
}

mod storage {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Rc<T>(T);
}

fn main() {}
