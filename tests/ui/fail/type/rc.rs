use std::rc::Rc;

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: Rc<str>) -> Option<std::rc::Rc<Vec<u8>>>;
}

fn main() {}
