use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    fn upcase(&self, text: String) -> String;
    fn lower(&self, text: String) -> impl Future<Output = String> + Send;
}

fn main() {}
