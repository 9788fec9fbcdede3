use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async extern "C" fn upcase(&self, text: String) -> String;
}

fn main() {}
