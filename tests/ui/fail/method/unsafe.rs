use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async unsafe fn upcase(&self, text: String) -> String;
}

fn main() {}
