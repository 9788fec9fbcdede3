#[flyrpc::fly_rpc(crate = my_library::flyrpc)]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
