use flyrpc::fly_rpc;

#[fly_rpc(name = "")]
trait Strings {}

#[fly_rpc(name = strings)]
trait Others {}

#[fly_rpc(name = "two words")]
trait Spaces {}

fn main() {}
