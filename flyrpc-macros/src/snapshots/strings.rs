/// Operations on text.
pub trait Strings: ::flyrpc::__private::Send + ::flyrpc::__private::Sync + 'static {
    /// Upper-cases `text`.
    fn upcase(
        &self,
        text: String,
    ) -> impl ::flyrpc::__private::Future<Output = String> + ::flyrpc::__private::Send;
    #[cfg(feature = "notes")]
    fn save(
        &self,
        note: Note,
        dry_run: bool,
    ) -> impl ::flyrpc::__private::Future<
        Output = Result<u64, Full>,
    > + ::flyrpc::__private::Send;
}
///Serves an implementation of `Strings` on a node, or as a tarpc `Serve` with flyrpc's `tarpc` feature. Clones share the implementation.
pub struct ServeStrings<S> {
    service: ::flyrpc::__private::Arc<S>,
}
impl<S: Strings> ServeStrings<S> {
    ///Wraps `service`, an implementation of `Strings`, so that it can be served.
    pub fn new(service: S) -> Self {
        ServeStrings {
            service: ::flyrpc::__private::Arc::new(service),
        }
    }
}
impl<S> ::flyrpc::__private::Clone for ServeStrings<S> {
    fn clone(&self) -> Self {
        ServeStrings {
            service: ::flyrpc::__private::Clone::clone(&self.service),
        }
    }
}
impl<S> ::flyrpc::__private::fmt::Debug for ServeStrings<S> {
    fn fmt(
        &self,
        f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
    ) -> ::flyrpc::__private::fmt::Result {
        f.write_str("ServeStrings")
    }
}
///A call to a method of `Strings`, sent to the serving node.
#[derive(::flyrpc::__private::serde::Serialize, ::flyrpc::__private::serde::Deserialize)]
#[serde(crate = "::flyrpc::__private::serde")]
pub enum StringsRequest {
    ///The arguments of `upcase`.
    Upcase {
        ///The argument `text`.
        text: String,
    },
    #[cfg(feature = "notes")]
    ///The arguments of `save`.
    Save {
        ///The argument `note`.
        #[serde(
            bound(
                serialize = "for<'__wire> Note: ::flyrpc::__private::Encodes<'__wire>",
                deserialize = "for<'__wire> Note: ::flyrpc::__private::Decodes<'__wire>"
            )
        )]
        note: Note,
        ///The argument `dry_run`.
        dry_run: bool,
    },
}
///The value returned by a method of `Strings`, sent to the client.
#[derive(::flyrpc::__private::serde::Serialize, ::flyrpc::__private::serde::Deserialize)]
#[serde(crate = "::flyrpc::__private::serde")]
pub enum StringsResponse {
    ///The value returned by `upcase`.
    Upcase(String),
    #[cfg(feature = "notes")]
    ///The value returned by `save`.
    Save(
        #[serde(
            bound(
                serialize = "for<'__wire> Result < u64 , Full >: ::flyrpc::__private::Encodes<'__wire>",
                deserialize = "for<'__wire> Result < u64 , Full >: ::flyrpc::__private::Decodes<'__wire>"
            )
        )]
        Result<u64, Full>,
    ),
}
const _: () = {
    use ::flyrpc::__private::NotSerializable as _;
    enum __Index {
        Upcase,
        #[cfg(feature = "notes")]
        Save,
    }
    #[doc(hidden)]
    impl ::flyrpc::__private::Request for StringsRequest
    where
        for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
        for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
    {
        type Response = StringsResponse;
        const SERVICE: &'static str = "strings";
        fn methods() -> &'static [::flyrpc::__private::Method<Self>] {
            const {
                &[
                    ::flyrpc::__private::Method {
                        name: "upcase",
                        full_name: "strings.upcase",
                        arguments: &[
                            ::flyrpc::__private::Argument {
                                name: "text",
                                ty: "String",
                                optional: <::flyrpc::__private::Codec<String>>::is_optional,
                            },
                        ],
                        returns: "String",
                        options: ::flyrpc::__private::MethodOptions::new(),
                        decode: |arguments| ::flyrpc::__private::Result::Ok(StringsRequest::Upcase {
                            text: match <::flyrpc::__private::Codec<
                                String,
                            >>::take(arguments, "text") {
                                ::flyrpc::__private::Result::Ok(value) => value,
                                ::flyrpc::__private::Result::Err(error) => {
                                    return ::flyrpc::__private::Result::Err(error);
                                }
                            },
                        }),
                        decode_response: |body| ::flyrpc::__private::Result::map(
                            <::flyrpc::__private::Codec<String>>::decode(body),
                            StringsResponse::Upcase,
                        ),
                    },
                    #[cfg(feature = "notes")]
                    ::flyrpc::__private::Method {
                        name: "store",
                        full_name: "strings.store",
                        arguments: &[
                            ::flyrpc::__private::Argument {
                                name: "note",
                                ty: "Note",
                                optional: <::flyrpc::__private::Codec<Note>>::is_optional,
                            },
                            ::flyrpc::__private::Argument {
                                name: "dry_run",
                                ty: "bool",
                                optional: || true,
                            },
                        ],
                        returns: "Result<u64, Full>",
                        options: ::flyrpc::__private::MethodOptions::new()
                            .primary()
                            .timeout(
                                ::flyrpc::__private::Duration::from_micros(2000000u64),
                            ),
                        decode: |arguments| ::flyrpc::__private::Result::Ok(StringsRequest::Save {
                            note: match <::flyrpc::__private::Codec<
                                Note,
                            >>::take(arguments, "note") {
                                ::flyrpc::__private::Result::Ok(value) => value,
                                ::flyrpc::__private::Result::Err(error) => {
                                    return ::flyrpc::__private::Result::Err(error);
                                }
                            },
                            dry_run: match <::flyrpc::__private::Codec<
                                bool,
                            >>::take_or_default(arguments, "dry_run") {
                                ::flyrpc::__private::Result::Ok(value) => value,
                                ::flyrpc::__private::Result::Err(error) => {
                                    return ::flyrpc::__private::Result::Err(error);
                                }
                            },
                        }),
                        decode_response: |body| ::flyrpc::__private::Result::map(
                            <::flyrpc::__private::Codec<
                                Result<u64, Full>,
                            >>::decode(body),
                            StringsResponse::Save,
                        ),
                    },
                ]
            }
        }
        fn method(&self) -> usize {
            match *self {
                StringsRequest::Upcase { .. } => __Index::Upcase as usize,
                #[cfg(feature = "notes")]
                StringsRequest::Save { .. } => __Index::Save as usize,
            }
        }
        fn method_of(response: &StringsResponse) -> usize {
            match *response {
                StringsResponse::Upcase(..) => __Index::Upcase as usize,
                #[cfg(feature = "notes")]
                StringsResponse::Save(..) => __Index::Save as usize,
            }
        }
        fn encode(
            &self,
            arguments: &mut ::flyrpc::__private::ArgsWriter<'_>,
        ) -> ::flyrpc::__private::Result<(), ::flyrpc::__private::ArgumentError> {
            match *self {
                StringsRequest::Upcase { text: ref argument_0 } => {
                    if let ::flyrpc::__private::Result::Err(error) = <::flyrpc::__private::Codec<
                        String,
                    >>::put(arguments, "text", argument_0) {
                        return ::flyrpc::__private::Result::Err(error);
                    }
                    ::flyrpc::__private::Result::Ok(())
                }
                #[cfg(feature = "notes")]
                StringsRequest::Save {
                    note: ref argument_0,
                    dry_run: ref argument_1,
                } => {
                    if let ::flyrpc::__private::Result::Err(error) = <::flyrpc::__private::Codec<
                        Note,
                    >>::put(arguments, "note", argument_0) {
                        return ::flyrpc::__private::Result::Err(error);
                    }
                    if let ::flyrpc::__private::Result::Err(error) = <::flyrpc::__private::Codec<
                        bool,
                    >>::put_or_default(arguments, "dry_run", argument_1) {
                        return ::flyrpc::__private::Result::Err(error);
                    }
                    ::flyrpc::__private::Result::Ok(())
                }
            }
        }
        fn encode_response(
            response: &StringsResponse,
            to: &mut ::flyrpc::__private::Vec<u8>,
        ) -> ::flyrpc::__private::Result<(), ::flyrpc::__private::BodyError> {
            match *response {
                StringsResponse::Upcase(ref value) => {
                    <::flyrpc::__private::Codec<String>>::encode(value, to)
                }
                #[cfg(feature = "notes")]
                StringsResponse::Save(ref value) => {
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::encode(value, to)
                }
            }
        }
    }
    fn __requirements() {
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<String>>::encodes(),
                    <::flyrpc::__private::Codec<String>>::decodes(),
                    <::flyrpc::__private::Codec<String>>::sends(),
                )
                .is_sent_between_nodes::<String>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<Note>>::encodes(),
                    <::flyrpc::__private::Codec<Note>>::decodes(),
                    <::flyrpc::__private::Codec<Note>>::sends(),
                )
                .is_sent_between_nodes::<Note>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<bool>>::encodes(),
                    <::flyrpc::__private::Codec<bool>>::decodes(),
                    <::flyrpc::__private::Codec<bool>>::sends(),
                )
                .is_sent_between_nodes::<bool>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<u64>>::encodes(),
                    <::flyrpc::__private::Codec<u64>>::decodes(),
                    <::flyrpc::__private::Codec<u64>>::sends(),
                )
                .is_sent_between_nodes::<u64>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<Full>>::encodes(),
                    <::flyrpc::__private::Codec<Full>>::decodes(),
                    <::flyrpc::__private::Codec<Full>>::sends(),
                )
                .is_sent_between_nodes::<Full>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::WireTraits::new(
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::encodes(),
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::decodes(),
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::sends(),
                )
                .unless_missing_in(
                    &::flyrpc::__private::WireTraits::new(
                        <::flyrpc::__private::Codec<Full>>::encodes(),
                        <::flyrpc::__private::Codec<Full>>::decodes(),
                        <::flyrpc::__private::Codec<Full>>::sends(),
                    ),
                )
                .is_sent_between_nodes::<Result<u64, Full>>();
        }
        #[cfg(feature = "notes")] ::flyrpc::__private::has_default::<bool>();
    }
    impl ::flyrpc::__private::fmt::Debug for StringsRequest
    where
        for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
        for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
    {
        fn fmt(
            &self,
            f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
        ) -> ::flyrpc::__private::fmt::Result {
            f.write_str(::flyrpc::__private::request_name(self))
        }
    }
    impl ::flyrpc::__private::fmt::Debug for StringsResponse
    where
        for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
        for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
    {
        fn fmt(
            &self,
            f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
        ) -> ::flyrpc::__private::fmt::Result {
            f.write_str(::flyrpc::__private::response_name::<StringsRequest>(self))
        }
    }
};
/**Calls the methods of `Strings` on the node that the client's selector chooses.

Created by `Node::client`, or by `from_stub` with flyrpc's `tarpc` feature. Selectors (`on_…`) and options (`timeout`, `wait`) return a new client. Clients are cheap to clone.

Each method returns a future of a `Result`: the return value of the trait's method, or an error if the call failed. The future owns everything it needs and does nothing until it is polled. Dropping it cancels the call.*/
pub struct StringsClient<Via = ::flyrpc::__private::Routed> {
    via: Via,
}
impl<Via: ::flyrpc::__private::Clone> ::flyrpc::__private::Clone for StringsClient<Via> {
    fn clone(&self) -> Self {
        StringsClient {
            via: ::flyrpc::__private::Clone::clone(&self.via),
        }
    }
}
impl<Via: ::flyrpc::__private::fmt::Debug> ::flyrpc::__private::fmt::Debug
for StringsClient<Via> {
    fn fmt(
        &self,
        f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
    ) -> ::flyrpc::__private::fmt::Result {
        f.debug_struct("StringsClient").field("via", &self.via).finish()
    }
}
impl ::flyrpc::__private::Client for StringsClient
where
    for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
    for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
{
    type Request = StringsRequest;
    fn from_routed(routed: ::flyrpc::__private::Routed) -> Self {
        StringsClient { via: routed }
    }
}
impl<Via: ::flyrpc::__private::Caller<StringsRequest>> StringsClient<Via>
where
    for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
    for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
{
    /// Upper-cases `text`.
    pub fn upcase(
        &self,
        text: String,
    ) -> impl ::flyrpc::__private::Future<
        Output = ::flyrpc::__private::Result<String, ::flyrpc::__private::RpcError>,
    > + 'static + use<Via> {
        ::flyrpc::__private::call(
            &self.via,
            StringsRequest::Upcase { text },
            |response| match response {
                StringsResponse::Upcase(value) => ::flyrpc::__private::Result::Ok(value),
                _ => ::flyrpc::__private::wrong_response("strings", "upcase"),
            },
        )
    }
    ///Calls `Strings::save`.
    #[cfg(feature = "notes")]
    pub fn save(
        &self,
        note: Note,
        dry_run: bool,
    ) -> impl ::flyrpc::__private::Future<
        Output = ::flyrpc::__private::Result<
            Result<u64, Full>,
            ::flyrpc::__private::RpcError,
        >,
    > + 'static + use<Via> {
        ::flyrpc::__private::call(
            &self.via,
            StringsRequest::Save {
                note,
                dry_run,
            },
            |response| match response {
                StringsResponse::Save(value) => ::flyrpc::__private::Result::Ok(value),
                _ => ::flyrpc::__private::wrong_response("strings", "store"),
            },
        )
    }
}
impl StringsClient {
    /// Selects a node in `region`. If this node is in that region and serves the method, it
    /// serves the call in process. The name of a region is case-insensitive.
    #[must_use = "selectors return a new client"]
    pub fn on_region(
        &self,
        region: impl ::flyrpc::__private::Into<::flyrpc::__private::Region>,
    ) -> Self {
        StringsClient {
            via: self.via.on_region(::flyrpc::__private::Into::into(region)),
        }
    }
    /// Selects a node in the primary region. The node must also be primary in its own view.
    #[must_use = "selectors return a new client"]
    pub fn on_primary(&self) -> Self {
        StringsClient {
            via: self.via.on_primary(),
        }
    }
    /// Selects one boot of one node. A call never goes to another node or to a later boot.
    #[must_use = "selectors return a new client"]
    pub fn on_node(
        &self,
        id: impl ::flyrpc::__private::Into<::flyrpc::__private::NodeId>,
    ) -> Self {
        StringsClient {
            via: self.via.on_node(::flyrpc::__private::Into::into(id)),
        }
    }
}
impl StringsClient {
    /// Sets the timeout of each call. The default is the method's timeout, or 5 s if the
    /// method has none. In a handler, a call is also limited to the remaining time of the call
    /// that the handler serves.
    #[must_use = "options return a new client"]
    pub fn timeout(&self, timeout: ::flyrpc::__private::Duration) -> Self {
        StringsClient {
            via: self.via.timeout(timeout),
        }
    }
    /// Lets each call wait up to this long, within its timeout, for a node that can serve
    /// it, instead of failing at once.
    #[must_use = "options return a new client"]
    pub fn wait(&self, wait: ::flyrpc::__private::Duration) -> Self {
        StringsClient {
            via: self.via.wait(wait),
        }
    }
}
#[doc(hidden)]
impl<S: Strings> ::flyrpc::__private::Handler for ServeStrings<S>
where
    for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
    for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
{
    type Request = StringsRequest;
    fn handle(
        &self,
        request: StringsRequest,
    ) -> impl ::flyrpc::__private::Future<
        Output = StringsResponse,
    > + ::flyrpc::__private::Send + 'static {
        let service = ::flyrpc::__private::Clone::clone(&self.service);
        async move {
            let request = request;
            match request {
                StringsRequest::Upcase { text: argument_0 } => {
                    StringsResponse::Upcase(
                        <S as Strings>::upcase(&*service, argument_0).await,
                    )
                }
                #[cfg(feature = "notes")]
                StringsRequest::Save { note: argument_0, dry_run: argument_1 } => {
                    StringsResponse::Save(
                        <S as Strings>::save(&*service, argument_0, argument_1).await,
                    )
                }
            }
        }
    }
}
::flyrpc::__private::with_tarpc! {
    impl ::flyrpc::__private::tarpc::RequestName for StringsRequest where for < '__send >
    StringsRequest : ::flyrpc::__private::Sends < '__send >, for < '__send >
    StringsResponse : ::flyrpc::__private::Sends < '__send >, { fn name(& self) -> & str
    { ::flyrpc::__private::request_name(self) } } impl < S : Strings >
    ::flyrpc::__private::tarpc::server::Serve for ServeStrings < S > where for < '__send
    > StringsRequest : ::flyrpc::__private::Sends < '__send >, for < '__send >
    StringsResponse : ::flyrpc::__private::Sends < '__send >, { type Req =
    StringsRequest; type Resp = StringsResponse; #[allow(refining_impl_trait)] fn
    serve(self, context : ::flyrpc::__private::tarpc::context::Context, request :
    StringsRequest,) -> impl ::flyrpc::__private::Future < Output =
    ::flyrpc::__private::Result < StringsResponse,
    ::flyrpc::__private::tarpc::ServerError >, > + ::flyrpc::__private::Send {
    ::flyrpc::__private::serve_tarpc(self, context, request) } } impl < S > StringsClient
    < ::flyrpc::__private::ViaStub < S >> where S :
    ::flyrpc::__private::tarpc::client::stub::Stub < Req = StringsRequest, Resp =
    StringsResponse > + 'static, { #[doc =
    r" Creates a client that calls through a tarpc stub, without a node. Its futures are"]
    #[doc = r" `Send` if the stub's futures are."] pub fn from_stub(stub : S) -> Self {
    StringsClient { via : ::flyrpc::__private::ViaStub::new(stub) } } }
}
