use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(timeout = "2", wait = "1.5s")]
    async fn upcase(&self, text: String) -> String;
    #[rpc(timeout = 2)]
    async fn lower(&self, text: String) -> String;
    #[rpc(timeout = "0s")]
    async fn title(&self, text: String) -> String;
    #[rpc(timeout = "18446744073709551615h")]
    async fn swap(&self, text: String) -> String;
    #[rpc(timeout = "99999999999999999999999s")]
    async fn reverse(&self, text: String) -> String;
}

fn main() {}
