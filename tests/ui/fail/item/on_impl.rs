use flyrpc::fly_rpc;

struct Shout;

#[fly_rpc]
impl Shout {}

fn main() {}
