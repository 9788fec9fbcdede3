use flyrpc::fly_rpc;

#[fly_rpc]
trait Sums {
    async fn sum(
        &self,
        a0: u8, a1: u8, a2: u8, a3: u8, a4: u8, a5: u8, a6: u8, a7: u8, a8: u8, a9: u8,
        a10: u8, a11: u8, a12: u8, a13: u8, a14: u8, a15: u8, a16: u8, a17: u8, a18: u8, a19: u8,
        a20: u8, a21: u8, a22: u8, a23: u8, a24: u8, a25: u8, a26: u8, a27: u8, a28: u8, a29: u8,
        a30: u8, a31: u8, a32: u8, a33: u8, a34: u8, a35: u8, a36: u8, a37: u8, a38: u8, a39: u8,
        a40: u8, a41: u8, a42: u8, a43: u8, a44: u8, a45: u8, a46: u8, a47: u8, a48: u8, a49: u8,
        a50: u8, a51: u8, a52: u8, a53: u8, a54: u8, a55: u8, a56: u8, a57: u8, a58: u8, a59: u8,
        a60: u8, a61: u8, a62: u8, a63: u8, a64: u8, a65: u8, a66: u8, a67: u8, a68: u8, a69: u8,
        a70: u8, a71: u8, a72: u8, a73: u8, a74: u8, a75: u8, a76: u8, a77: u8, a78: u8, a79: u8,
        a80: u8, a81: u8, a82: u8, a83: u8, a84: u8, a85: u8, a86: u8, a87: u8, a88: u8, a89: u8,
        a90: u8, a91: u8, a92: u8, a93: u8, a94: u8, a95: u8, a96: u8, a97: u8, a98: u8, a99: u8,
        a100: u8,
    ) -> u64;
}

fn main() {}
