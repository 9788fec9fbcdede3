use flyrpc::fly_rpc;

#[fly_rpc(crate = "flyrpc")]
trait Strings {}

fn main() {}
