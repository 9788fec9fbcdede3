//! Traits that are difficult for the macro but must work. Most of them only need to compile.

#![allow(dead_code)]

use flyrpc::{RpcError, fly_rpc};

/// Returns a client that calls a service in this process.
macro_rules! local {
    ($client:ident, $serve:ident, $service:expr) => {
        $client::from_stub($serve::new($service))
    };
}

mod names_of_generated_code {
    use super::*;

    #[fly_rpc]
    #[allow(clippy::too_many_arguments)]
    pub(crate) trait Names {
        async fn all(
            &self,
            ctx: u8,
            context: u8,
            request: u8,
            req: u8,
            resp: u8,
            self_: u8,
            service: u8,
            msg: u8,
            deadline: u8,
            node: u8,
            via: u8,
            call: u8,
        ) -> u32;
        async fn more(
            &self,
            r#type: u8,
            reply: u8,
            value: u8,
            arguments: u8,
            to: u8,
            f: u8,
            body: u8,
            argument_0: u8,
            argument_1: u8,
        ) -> u32;
    }

    struct Sum;

    impl Names for Sum {
        async fn all(
            &self,
            ctx: u8,
            context: u8,
            request: u8,
            req: u8,
            resp: u8,
            self_: u8,
            service: u8,
            msg: u8,
            deadline: u8,
            node: u8,
            via: u8,
            call: u8,
        ) -> u32 {
            [ctx, context, request, req, resp, self_, service, msg, deadline, node, via, call]
                .iter()
                .fold(0, |digits, digit| digits * 2 + u32::from(*digit))
        }

        async fn more(
            &self,
            r#type: u8,
            reply: u8,
            value: u8,
            arguments: u8,
            to: u8,
            f: u8,
            body: u8,
            argument_0: u8,
            argument_1: u8,
        ) -> u32 {
            [r#type, reply, value, arguments, to, f, body, argument_0, argument_1]
                .iter()
                .fold(0, |digits, digit| digits * 2 + u32::from(*digit))
        }
    }

    #[tokio::test]
    async fn arguments_may_have_any_name_and_keep_their_order() {
        let names = local!(NamesClient, ServeNames, Sum);
        let all = names.all(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1);
        assert_eq!(all.await.unwrap(), 0b1000_0000_0011);
        let more = names.more(1, 1, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(more.await.unwrap(), 0b1_1000_0001);
    }
}

mod names_of_standard_methods {
    use super::*;

    #[fly_rpc]
    trait Shapes {
        async fn into(&self, sides: u8) -> u8;
        async fn try_into(&self) -> u8;
        async fn clone(&self) -> u8;
        async fn from(&self) -> u8;
        async fn new(&self) -> u8;
    }

    struct Numbers;

    impl Shapes for Numbers {
        async fn into(&self, sides: u8) -> u8 {
            sides
        }
        async fn try_into(&self) -> u8 {
            2
        }
        async fn clone(&self) -> u8 {
            3
        }
        async fn from(&self) -> u8 {
            4
        }
        async fn new(&self) -> u8 {
            5
        }
    }

    #[tokio::test]
    async fn methods_may_have_names_of_standard_methods() {
        let shapes = &local!(ShapesClient, ServeShapes, Numbers);
        let first = (shapes.into(1).await.unwrap(), shapes.try_into().await.unwrap());
        let last = (shapes.clone().await.unwrap(), shapes.from().await.unwrap());
        assert_eq!((first, last, shapes.new().await.unwrap()), ((1, 2), (3, 4), 5));
    }
}

mod conditions {
    use super::*;

    #[fly_rpc]
    #[allow(clippy::non_minimal_cfg)]
    trait Conditional {
        #[cfg(any())]
        async fn absent(&self, no: NoSuchType) -> NoSuchType;
        async fn first(&self) -> u8;
        #[cfg(all())]
        async fn twice(&self) -> u8;
        #[cfg(any())]
        async fn twice(&self, no: NoSuchType) -> NoSuchType;
        #[cfg(any())]
        #[rpc(primary, timeout = "1s")]
        async fn absent_too(&self, #[rpc(default)] no: NoSuchType);
        async fn last(&self) -> u8;
    }

    #[fly_rpc]
    #[cfg(any())]
    trait Absent {
        async fn absent(&self, no: NoSuchType) -> NoSuchType;
    }

    struct Numbers;

    impl Conditional for Numbers {
        async fn first(&self) -> u8 {
            1
        }
        async fn twice(&self) -> u8 {
            2
        }
        async fn last(&self) -> u8 {
            3
        }
    }

    #[tokio::test]
    async fn cfg_attributes_apply_to_every_generated_item() {
        let client = local!(ConditionalClient, ServeConditional, Numbers);
        assert_eq!(client.first().await.unwrap(), 1);
        assert_eq!(client.twice().await.unwrap(), 2);
        assert_eq!(client.last().await.unwrap(), 3);
        assert_eq!(format!("{:?}", ConditionalRequest::Last {}), "Conditional.last");
    }
}

mod types {
    use std::{collections::HashMap, net::IpAddr, time::Duration};

    use serde::{Deserialize, Serialize};

    use super::*;

    /// A type that implements neither `Debug` nor `Clone`.
    #[derive(Serialize, Deserialize)]
    struct Plain {
        text: String,
    }

    #[derive(Serialize, Deserialize)]
    struct Page<T> {
        items: Vec<T>,
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    enum Failure {
        TooLong(usize),
    }

    type Outcome<T> = std::result::Result<T, Failure>;

    macro_rules! list {
        ($item:ty) => { Vec<$item> };
    }

    #[fly_rpc]
    trait Types {
        async fn unit(&self);
        async fn explicit_unit(&self) -> ();
        async fn plain(&self, plain: Plain) -> Plain;
        async fn page(&self, page: Page<Plain>) -> Option<Page<Plain>>;
        async fn aliased(&self, text: String) -> Outcome<usize>;
        async fn result(&self, fail: bool) -> Result<(), Failure>;
        async fn tuple(&self, pair: (u8, String)) -> (String, u8);
        async fn bytes(&self, bytes: Vec<u8>) -> Vec<u8>;
        async fn map(&self, map: HashMap<String, IpAddr>) -> HashMap<String, IpAddr>;
        async fn array(&self, array: [u8; 4]) -> [u8; 4];
        async fn boxed(&self, text: Box<str>, bytes: Box<[u8]>) -> Box<str>;
        async fn from_macro(&self, list: list!(u8)) -> list!(u8);
        async fn cow(&self, text: std::borrow::Cow<'static, str>) -> usize;
        async fn projected(&self, item: <Vec<u8> as IntoIterator>::Item) -> u8;
    }

    struct Echo;

    impl Types for Echo {
        async fn unit(&self) {}
        async fn explicit_unit(&self) {}
        async fn plain(&self, plain: Plain) -> Plain {
            plain
        }
        async fn page(&self, page: Page<Plain>) -> Option<Page<Plain>> {
            Some(page)
        }
        async fn aliased(&self, text: String) -> Outcome<usize> {
            if text.len() > 3 { Err(Failure::TooLong(text.len())) } else { Ok(text.len()) }
        }
        async fn result(&self, fail: bool) -> Result<(), Failure> {
            if fail { Err(Failure::TooLong(0)) } else { Ok(()) }
        }
        async fn tuple(&self, (number, text): (u8, String)) -> (String, u8) {
            (text, number)
        }
        async fn bytes(&self, mut bytes: Vec<u8>) -> Vec<u8> {
            bytes.reverse();
            bytes
        }
        async fn map(&self, map: HashMap<String, IpAddr>) -> HashMap<String, IpAddr> {
            map
        }
        async fn array(&self, array: [u8; 4]) -> [u8; 4] {
            array
        }
        async fn boxed(&self, text: Box<str>, _: Box<[u8]>) -> Box<str> {
            text
        }
        async fn from_macro(&self, list: Vec<u8>) -> Vec<u8> {
            list
        }
        async fn cow(&self, text: std::borrow::Cow<'static, str>) -> usize {
            text.len()
        }
        async fn projected(&self, item: u8) -> u8 {
            item
        }
    }

    /// A compile-time test: the futures of a node's client are `Send` and `'static`, and do not
    /// borrow it.
    fn futures_of_a_node_can_be_spawned(
        client: &TypesClient,
    ) -> impl Future<Output = Result<Plain, RpcError>> + Send + 'static + use<> {
        let routed = client.on_region("hkg").on_node(flyrpc::NodeId::new("hkg-0", 1)).on_primary();
        let routed = routed.timeout(Duration::from_secs(1)).wait(Duration::from_secs(1));
        routed.plain(Plain { text: String::new() })
    }

    #[tokio::test]
    async fn clients_return_a_result_around_exactly_the_declared_type() {
        let client = local!(TypesClient, ServeTypes, Echo);
        let unit: Result<(), RpcError> = client.unit().await;
        unit.unwrap();
        let plain: Result<Plain, RpcError> = client.plain(Plain { text: "a".into() }).await;
        assert_eq!(plain.unwrap().text, "a");
        let page = client.page(Page { items: vec![Plain { text: "b".into() }] });
        let page: Result<Option<Page<Plain>>, RpcError> = page.await;
        assert_eq!(page.unwrap().unwrap().items[0].text, "b");
        let aliased: Result<Result<usize, Failure>, RpcError> = client.aliased("long".into()).await;
        assert_eq!(aliased.unwrap(), Err(Failure::TooLong(4)));
        let result: Result<Result<(), Failure>, RpcError> = client.result(false).await;
        assert_eq!(result.unwrap(), Ok(()));
        assert_eq!(client.tuple((7, "x".into())).await.unwrap(), ("x".into(), 7));
        assert_eq!(client.bytes(vec![1, 2]).await.unwrap(), [2, 1]);
    }
}

mod several_services {
    use super::*;

    #[fly_rpc]
    trait One {
        async fn number(&self) -> u8;
    }

    #[fly_rpc(name = "Second.two")]
    trait Two {
        #[rpc(name = "digit")]
        async fn number(&self) -> u8;
    }

    #[fly_rpc]
    trait Nothing {}

    struct Both;

    impl One for Both {
        async fn number(&self) -> u8 {
            1
        }
    }

    impl Two for Both {
        async fn number(&self) -> u8 {
            2
        }
    }

    impl Nothing for Both {}

    #[tokio::test]
    async fn one_type_serves_two_services() {
        assert_eq!(local!(OneClient, ServeOne, Both).number().await.unwrap(), 1);
        assert_eq!(local!(TwoClient, ServeTwo, Both).number().await.unwrap(), 2);
    }

    #[test]
    fn wire_names_are_taken_from_the_attribute() {
        use tarpc::RequestName;

        assert_eq!(OneRequest::Number {}.name(), "One.number");
        assert_eq!(TwoRequest::Number {}.name(), "Second.two.digit");
    }

    #[test]
    fn an_empty_trait_has_a_client() {
        let client = local!(NothingClient, ServeNothing, Both);
        assert!(format!("{client:?}").starts_with("NothingClient"));
    }

    #[test]
    fn serving_types_are_clone_for_any_service() {
        let serve = ServeOne::new(Both);
        assert_eq!(format!("{:?}", serve.clone()), "ServeOne");
    }
}

mod visibility {
    mod inner {
        use flyrpc::fly_rpc;

        #[derive(serde::Serialize, serde::Deserialize)]
        struct Secret(u8);

        #[fly_rpc]
        trait Private {
            async fn secret(&self, secret: Secret) -> Secret;
        }

        #[fly_rpc]
        pub(super) trait ForParent {
            async fn number(&self) -> u8;
        }

        struct Keeper;

        impl Private for Keeper {
            async fn secret(&self, secret: Secret) -> Secret {
                secret
            }
        }

        #[tokio::test]
        async fn private_traits_take_private_types() {
            let client = PrivateClient::from_stub(ServePrivate::new(Keeper));
            assert_eq!(client.secret(Secret(7)).await.unwrap().0, 7);
        }
    }

    use self::inner::{ForParent, ForParentClient, ServeForParent};

    struct Seven;

    impl ForParent for Seven {
        async fn number(&self) -> u8 {
            7
        }
    }

    #[tokio::test]
    async fn generated_items_are_as_visible_as_the_trait() {
        let client = ForParentClient::from_stub(ServeForParent::new(Seven));
        assert_eq!(client.number().await.unwrap(), 7);
    }
}

mod large {
    use super::*;

    macro_rules! hundred {
        ($($method:ident)*) => {
            #[fly_rpc]
            trait Large {
                $(async fn $method(&self, text: String, number: u64) -> Option<String>;)*
            }

            struct Names;

            impl Large for Names {
                $(async fn $method(&self, text: String, number: u64) -> Option<String> {
                    Some(format!("{} {text} {number}", stringify!($method)))
                })*
            }
        };
    }

    hundred! {
        m00 m01 m02 m03 m04 m05 m06 m07 m08 m09 m10 m11 m12 m13 m14 m15
        m16 m17 m18 m19 m20 m21 m22 m23 m24 m25 m26 m27 m28 m29 m30 m31
        m32 m33 m34 m35 m36 m37 m38 m39 m40 m41 m42 m43 m44 m45 m46 m47
        m48 m49 m50 m51 m52 m53 m54 m55 m56 m57 m58 m59 m60 m61 m62 m63
        m64 m65 m66 m67 m68 m69 m70 m71 m72 m73 m74 m75 m76 m77 m78 m79
        m80 m81 m82 m83 m84 m85 m86 m87 m88 m89 m90 m91 m92 m93 m94 m95
        m96 m97 m98 m99
    }

    #[tokio::test]
    async fn a_trait_may_have_a_hundred_methods() {
        let client = local!(LargeClient, ServeLarge, Names);
        assert_eq!(client.m00("a".into(), 1).await.unwrap().unwrap(), "m00 a 1");
        assert_eq!(client.m99("b".into(), 2).await.unwrap().unwrap(), "m99 b 2");
    }
}

#[tokio::test]
async fn a_trait_may_be_declared_in_a_function() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Inner(u8);

    #[fly_rpc]
    trait Local {
        async fn number(&self, inner: Inner) -> u8;
    }

    struct Here;

    impl Local for Here {
        async fn number(&self, inner: Inner) -> u8 {
            inner.0
        }
    }

    assert_eq!(local!(LocalClient, ServeLocal, Here).number(Inner(3)).await.unwrap(), 3);
}

#[tokio::test]
async fn a_trait_may_come_from_a_macro() {
    macro_rules! service {
        ($name:ident, $method:ident, $argument:ident: $ty:ty) => {
            #[fly_rpc]
            trait $name {
                async fn $method(&self, $argument: $ty, other: $ty) -> $ty;
            }
        };
    }

    service!(Made, larger, number: u32);

    struct Max;

    impl Made for Max {
        async fn larger(&self, number: u32, other: u32) -> u32 {
            number.max(other)
        }
    }

    assert_eq!(local!(MadeClient, ServeMade, Max).larger(3, 4).await.unwrap(), 4);
}

/// Functions and constants that types name, with the names of generated variables and of arguments.
mod names_in_types {
    use std::{
        collections::{HashMap, HashSet},
        hash::{BuildHasherDefault, DefaultHasher, RandomState},
    };

    use super::*;

    const fn f() -> usize {
        1
    }

    const fn value() -> usize {
        2
    }

    const fn width() -> usize {
        3
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Grid<const N: usize>(u8);

    mod storage {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct Rc<T>(pub(crate) T);
    }

    #[fly_rpc]
    pub(crate) trait Names {
        async fn sum(&self, a: [u8; f()], b: [u8; value()]) -> [u8; width()];
        async fn resize(&self, width: u32, grid: Grid<{ value() }>) -> storage::Rc<u32>;
        async fn count(
            &self,
            all: HashMap<u8, u8, BuildHasherDefault<DefaultHasher>>,
            some: HashSet<u8, RandomState>,
        ) -> usize;
    }

    struct Here;

    impl Names for Here {
        async fn sum(&self, [a]: [u8; 1], [b, c]: [u8; 2]) -> [u8; 3] {
            [a, b, c]
        }

        async fn resize(&self, width: u32, _grid: Grid<2>) -> storage::Rc<u32> {
            storage::Rc(width)
        }

        async fn count(
            &self,
            all: HashMap<u8, u8, BuildHasherDefault<DefaultHasher>>,
            some: HashSet<u8, RandomState>,
        ) -> usize {
            all.len() + some.len()
        }
    }

    #[tokio::test]
    async fn they_keep_their_meaning() {
        let client = local!(NamesClient, ServeNames, Here);
        assert_eq!(client.sum([1], [2, 3]).await.unwrap(), [1, 2, 3]);
        assert_eq!(client.resize(7, Grid(0)).await.unwrap().0, 7);
        assert_eq!(client.count([(1, 2)].into_iter().collect(), [1].into()).await.unwrap(), 2);
    }
}

#[test]
fn the_wire_name_is_a_constant_of_the_client() {
    #[fly_rpc]
    trait Plain {
        async fn number(&self) -> u8;
    }

    #[fly_rpc(name = "billing.invoices")]
    trait Named {
        async fn number(&self) -> u8;
    }

    const NAME: &str = NamedClient::NAME;
    assert_eq!(PlainClient::NAME, "Plain");
    assert_eq!(NAME, "billing.invoices");
}

/// The example in the documentation of `#[fly_rpc]`.
mod mocks {
    use super::*;

    #[fly_rpc]
    #[mockall::automock]
    trait Strings {
        async fn upcase(&self, text: String) -> String;
    }

    #[tokio::test]
    async fn a_mock_can_be_served() {
        let mut mock = MockStrings::new();
        mock.expect_upcase()
            .withf(|text| text == "fly")
            .returning(|text| Box::pin(async move { text.to_uppercase() }));

        let client = local!(StringsClient, ServeStrings, mock);
        assert_eq!(client.upcase("fly".into()).await.unwrap(), "FLY");
    }
}
