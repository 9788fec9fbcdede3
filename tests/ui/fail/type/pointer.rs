use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: *const u8, run: fn(u8) -> u8) -> String;
}

fn main() {}
