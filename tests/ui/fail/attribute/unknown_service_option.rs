use flyrpc::fly_rpc;

#[fly_rpc(nam = "strings", version = 2)]
trait Strings {}

fn main() {}
