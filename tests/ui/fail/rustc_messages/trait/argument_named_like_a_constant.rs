use flyrpc::fly_rpc;

#[allow(non_upper_case_globals)]
static text: &str = "";

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
