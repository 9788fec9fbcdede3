/// Operations on text.
pub trait Strings: __StringsPrivate::Send + __StringsPrivate::Sync + 'static {
    /// Upper-cases `text`.
    fn upcase(
        &self,
        text: String,
    ) -> impl __StringsPrivate::Future<Output = String> + __StringsPrivate::Send;
    #[cfg(feature = "notes")]
    fn save(
        &self,
        note: Note,
        dry_run: bool,
    ) -> impl __StringsPrivate::Future<
        Output = Result<u64, Full>,
    > + __StringsPrivate::Send;
}
use ::flyrpc::__private as __StringsPrivate;
///Serves an implementation of `Strings` on a node, or as a tarpc `Serve` with flyrpc's `tarpc` feature. Clones share the implementation.
pub struct ServeStrings<S> {
    service: __StringsPrivate::Arc<S>,
}
///A call to a method of `Strings`, sent to the serving node.
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
        note: Note,
        ///The argument `dry_run`.
        dry_run: bool,
    },
}
///The value returned by a method of `Strings`, sent to the client.
pub enum StringsResponse {
    ///The value returned by `upcase`.
    Upcase(String),
    #[cfg(feature = "notes")]
    ///The value returned by `save`.
    Save(Result<u64, Full>),
}
/**Calls the methods of `Strings` on the node that the client's selector chooses.

Created by `Node::client`, or by `from_stub` with flyrpc's `tarpc` feature. Selectors (`on_…`) and options (`timeout`, `wait`, `metadata`) return a new client. Clients are cheap to clone. `each` calls many nodes.

Each method returns a future of a `Result`: the return value of the trait's method, or an error if the call failed. The future owns everything it needs and does nothing until it is polled. Dropping it cancels the call.*/
pub struct StringsClient<Via = __StringsPrivate::Routed> {
    via: Via,
}
const _: () = {
    use __StringsPrivate::NotSerializable as _;
    fn arguments() {}
    fn body() {}
    fn call() {}
    fn context() {}
    fn error() {}
    fn f() {}
    fn id() {}
    fn name() {}
    fn nodes() {}
    fn region() {}
    fn request() {}
    fn response() {}
    fn routed() {}
    fn service() {}
    fn stub() {}
    fn timeout() {}
    fn to() {}
    fn value() {}
    fn wait() {}
    fn argument_0() {}
    fn argument_1() {}
    fn text() {}
    fn note() {}
    fn dry_run() {}
    impl<S> ServeStrings<S> {
        ///Wraps `service`, an implementation of `Strings`, so that it can be served.
        pub fn new(service: S) -> Self {
            ServeStrings {
                service: __StringsPrivate::Arc::new(service),
            }
        }
    }
    impl<S> __StringsPrivate::Clone for ServeStrings<S> {
        fn clone(&self) -> Self {
            ServeStrings {
                service: __StringsPrivate::Clone::clone(&self.service),
            }
        }
    }
    impl<S> __StringsPrivate::fmt::Debug for ServeStrings<S> {
        fn fmt(
            &self,
            f: &mut __StringsPrivate::fmt::Formatter<'_>,
        ) -> __StringsPrivate::fmt::Result {
            f.write_str("ServeStrings")
        }
    }
    #[doc(hidden)]
    impl<S: Strings> __StringsPrivate::Handler for ServeStrings<S>
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        type Request = StringsRequest;
        fn handle(
            &self,
            request: StringsRequest,
        ) -> impl __StringsPrivate::Future<
            Output = StringsResponse,
        > + __StringsPrivate::Send + 'static {
            let service = __StringsPrivate::Clone::clone(&self.service);
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
    impl<Via: __StringsPrivate::Clone> __StringsPrivate::Clone for StringsClient<Via> {
        fn clone(&self) -> Self {
            StringsClient {
                via: __StringsPrivate::Clone::clone(&self.via),
            }
        }
    }
    impl<Via: __StringsPrivate::fmt::Debug> __StringsPrivate::fmt::Debug
    for StringsClient<Via> {
        fn fmt(
            &self,
            f: &mut __StringsPrivate::fmt::Formatter<'_>,
        ) -> __StringsPrivate::fmt::Result {
            __StringsPrivate::debug_client(f, "StringsClient", &self.via)
        }
    }
    impl __StringsPrivate::Client for StringsClient
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        type Request = StringsRequest;
        fn from_routed(routed: __StringsPrivate::Routed) -> Self {
            StringsClient { via: routed }
        }
    }
    impl<Via: __StringsPrivate::Caller<StringsRequest>> StringsClient<Via>
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        #[cfg_attr(not(doctest), doc = r" Upper-cases `text`.")]
        pub fn upcase(
            &self,
            text: String,
        ) -> impl __StringsPrivate::Future<
            Output = __StringsPrivate::Result<String, __StringsPrivate::RpcError>,
        > + 'static + use<Via> {
            __StringsPrivate::call(
                &self.via,
                StringsRequest::Upcase { text },
                |response| match response {
                    StringsResponse::Upcase(value) => __StringsPrivate::Result::Ok(value),
                    _ => __StringsPrivate::wrong_response("strings", "upcase"),
                },
            )
        }
        ///Calls `Strings::save`.
        #[cfg(feature = "notes")]
        pub fn save(
            &self,
            note: Note,
            dry_run: bool,
        ) -> impl __StringsPrivate::Future<
            Output = __StringsPrivate::Result<
                Result<u64, Full>,
                __StringsPrivate::RpcError,
            >,
        > + 'static + use<Via> {
            __StringsPrivate::call(
                &self.via,
                StringsRequest::Save {
                    note,
                    dry_run,
                },
                |response| match response {
                    StringsResponse::Save(value) => __StringsPrivate::Result::Ok(value),
                    _ => __StringsPrivate::wrong_response("strings", "store"),
                },
            )
        }
    }
    impl StringsClient {
        /// The name of the service on the wire.
        pub const NAME: &'static __StringsPrivate::str = "strings";
        /// Selects a node in `region`. If this node is in that region and serves the method, it
        /// serves the call in process. The name of a region is case-insensitive.
        #[must_use = "selectors return a new client"]
        pub fn on_region(
            &self,
            region: impl __StringsPrivate::Into<__StringsPrivate::Region>,
        ) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::on_region(
                    &self.via,
                    __StringsPrivate::Into::into(region),
                ),
            }
        }
        /// Selects a node in the primary region. The node must also be primary in its own view.
        #[must_use = "selectors return a new client"]
        pub fn on_primary(&self) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::on_primary(&self.via),
            }
        }
        /// Selects one boot of one node. A call never goes to another node or to a later boot.
        #[must_use = "selectors return a new client"]
        pub fn on_node(
            &self,
            id: impl __StringsPrivate::Into<__StringsPrivate::NodeId>,
        ) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::on_node(
                    &self.via,
                    __StringsPrivate::Into::into(id),
                ),
            }
        }
        /// Selects this node if it serves the method, otherwise a node in the nearest region that
        /// does. A method that runs only on primary nodes is called in the primary region. This is
        /// the selection of a client on which no selector was called.
        #[must_use = "selectors return a new client"]
        pub fn nearest(&self) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::nearest(&self.via),
            }
        }
        /// Appends a region to the targets. If no node of the earlier targets can take the call, or an attempt
        /// there failed and the call may be retried, a node in `region` is tried, within the same timeout.
        /// Ignored by methods that run only on primary nodes.
        #[must_use = "selectors return a new client"]
        pub fn or_region(
            &self,
            region: impl __StringsPrivate::Into<__StringsPrivate::Region>,
        ) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::or_region(
                    &self.via,
                    __StringsPrivate::Into::into(region),
                ),
            }
        }
        /// Appends the nearest node to the targets, as `or_region` appends a region.
        #[must_use = "selectors return a new client"]
        pub fn or_nearest(&self) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::or_nearest(&self.via),
            }
        }
        /// Appends the primary region to the targets, as `or_region` appends a region.
        #[must_use = "selectors return a new client"]
        pub fn or_primary(&self) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::or_primary(&self.via),
            }
        }
        /// Sets the timeout of each call. The default is the method's timeout, or 5 s if the
        /// method has none. In a handler, a call is also limited to the remaining time of the call
        /// that the handler serves.
        #[must_use = "options return a new client"]
        pub fn timeout(&self, timeout: __StringsPrivate::Duration) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::timeout(&self.via, timeout),
            }
        }
        /// Lets each call wait up to this long, within its timeout, for a node that can serve
        /// it, instead of failing at once.
        #[must_use = "options return a new client"]
        pub fn wait(&self, wait: __StringsPrivate::Duration) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::wait(&self.via, wait),
            }
        }
        /// Sends a name and a value with each call, which the handler reads with
        /// `flyrpc::context().metadata()`. A later value of a name replaces an earlier one. A call
        /// whose names and values have more than 1 KiB in all, or that has more than 128 names, fails with
        /// `RpcError::Encode`.
        #[must_use = "options return a new client"]
        pub fn metadata(
            &self,
            name: &__StringsPrivate::str,
            value: &__StringsPrivate::str,
        ) -> Self {
            StringsClient {
                via: __StringsPrivate::Routed::metadata(&self.via, name, value),
            }
        }
    }
    impl StringsClient
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        /// Makes a call on each of the `nodes`, and returns the stream of their replies. `call`
        /// receives a client that targets one of the nodes, in place of this client's target.
        pub fn each<F, Fut, T>(
            &self,
            nodes: __StringsPrivate::Nodes,
            call: F,
        ) -> __StringsPrivate::Replies<T>
        where
            F: __StringsPrivate::FnMut(Self) -> Fut + __StringsPrivate::Send + 'static,
            Fut: __StringsPrivate::Future<
                    Output = __StringsPrivate::Result<T, __StringsPrivate::RpcError>,
                > + __StringsPrivate::Send + 'static,
            T: __StringsPrivate::Send + 'static,
        {
            __StringsPrivate::Routed::each(&self.via, nodes, call)
        }
    }
    enum __Index {
        Upcase,
        #[cfg(feature = "notes")]
        Save,
    }
    #[doc(hidden)]
    impl __StringsPrivate::Request for StringsRequest
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        type Response = StringsResponse;
        const SERVICE: &'static __StringsPrivate::str = "strings";
        fn methods() -> &'static [__StringsPrivate::Method<Self>] {
            const {
                &[
                    __StringsPrivate::Method {
                        name: "upcase",
                        full_name: "strings.upcase",
                        rpc_method: "strings/upcase",
                        arguments: &[
                            __StringsPrivate::Argument {
                                name: "text",
                                ty: "String",
                                optional: <__StringsPrivate::Codec<String>>::is_optional,
                            },
                        ],
                        returns: "String",
                        options: __StringsPrivate::MethodOptions::new(),
                        decode: |arguments| __StringsPrivate::Result::Ok(StringsRequest::Upcase {
                            text: match <__StringsPrivate::Codec<
                                String,
                            >>::take(arguments, "text") {
                                __StringsPrivate::Result::Ok(value) => value,
                                __StringsPrivate::Result::Err(error) => {
                                    return __StringsPrivate::Result::Err(error);
                                }
                            },
                        }),
                        decode_response: |body| __StringsPrivate::Result::map(
                            <__StringsPrivate::Codec<String>>::decode(body),
                            StringsResponse::Upcase,
                        ),
                        returns_result: false,
                        is_err: |_| false,
                    },
                    #[cfg(feature = "notes")]
                    __StringsPrivate::Method {
                        name: "store",
                        full_name: "strings.store",
                        rpc_method: "strings/store",
                        arguments: &[
                            __StringsPrivate::Argument {
                                name: "note",
                                ty: "Note",
                                optional: <__StringsPrivate::Codec<Note>>::is_optional,
                            },
                            __StringsPrivate::Argument {
                                name: "dry_run",
                                ty: "bool",
                                optional: || true,
                            },
                        ],
                        returns: "Result<u64, Full>",
                        options: __StringsPrivate::MethodOptions::new()
                            .primary()
                            .timeout(
                                __StringsPrivate::Duration::from_micros(2000000u64),
                            ),
                        decode: |arguments| __StringsPrivate::Result::Ok(StringsRequest::Save {
                            note: match <__StringsPrivate::Codec<
                                Note,
                            >>::take(arguments, "note") {
                                __StringsPrivate::Result::Ok(value) => value,
                                __StringsPrivate::Result::Err(error) => {
                                    return __StringsPrivate::Result::Err(error);
                                }
                            },
                            dry_run: match <__StringsPrivate::Codec<
                                bool,
                            >>::take_or_default(arguments, "dry_run") {
                                __StringsPrivate::Result::Ok(value) => value,
                                __StringsPrivate::Result::Err(error) => {
                                    return __StringsPrivate::Result::Err(error);
                                }
                            },
                        }),
                        decode_response: |body| __StringsPrivate::Result::map(
                            <__StringsPrivate::Codec<Result<u64, Full>>>::decode(body),
                            StringsResponse::Save,
                        ),
                        returns_result: <__StringsPrivate::Codec<
                            Result<u64, Full>,
                        >>::IS_RESULT,
                        is_err: |response| match response {
                            StringsResponse::Save(value) => {
                                <__StringsPrivate::Codec<Result<u64, Full>>>::is_err(value)
                            }
                            _ => false,
                        },
                    },
                ]
            }
        }
        fn method(&self) -> __StringsPrivate::usize {
            match *self {
                StringsRequest::Upcase { .. } => {
                    __Index::Upcase as __StringsPrivate::usize
                }
                #[cfg(feature = "notes")]
                StringsRequest::Save { .. } => __Index::Save as __StringsPrivate::usize,
            }
        }
        fn method_of(response: &StringsResponse) -> __StringsPrivate::usize {
            match *response {
                StringsResponse::Upcase(..) => __Index::Upcase as __StringsPrivate::usize,
                #[cfg(feature = "notes")]
                StringsResponse::Save(..) => __Index::Save as __StringsPrivate::usize,
            }
        }
        fn encode<Format: __StringsPrivate::ArgumentSink>(
            &self,
            arguments: &mut Format,
        ) -> __StringsPrivate::Result<(), Format::Error> {
            match *self {
                StringsRequest::Upcase { text: ref argument_0 } => {
                    if let __StringsPrivate::Result::Err(error) = <__StringsPrivate::Codec<
                        String,
                    >>::put(arguments, "text", argument_0) {
                        return __StringsPrivate::Result::Err(error);
                    }
                    __StringsPrivate::Result::Ok(())
                }
                #[cfg(feature = "notes")]
                StringsRequest::Save {
                    note: ref argument_0,
                    dry_run: ref argument_1,
                } => {
                    if let __StringsPrivate::Result::Err(error) = <__StringsPrivate::Codec<
                        Note,
                    >>::put(arguments, "note", argument_0) {
                        return __StringsPrivate::Result::Err(error);
                    }
                    if let __StringsPrivate::Result::Err(error) = <__StringsPrivate::Codec<
                        bool,
                    >>::put_or_default(arguments, "dry_run", argument_1) {
                        return __StringsPrivate::Result::Err(error);
                    }
                    __StringsPrivate::Result::Ok(())
                }
            }
        }
        fn encode_response<Format: __StringsPrivate::ResponseSink>(
            response: &StringsResponse,
            to: Format,
        ) -> __StringsPrivate::Result<Format::Ok, Format::Error> {
            match *response {
                StringsResponse::Upcase(ref value) => {
                    <__StringsPrivate::Codec<String>>::encode(value, to)
                }
                #[cfg(feature = "notes")]
                StringsResponse::Save(ref value) => {
                    <__StringsPrivate::Codec<Result<u64, Full>>>::encode(value, to)
                }
            }
        }
    }
    impl __StringsPrivate::fmt::Debug for StringsRequest
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn fmt(
            &self,
            f: &mut __StringsPrivate::fmt::Formatter<'_>,
        ) -> __StringsPrivate::fmt::Result {
            f.write_str(__StringsPrivate::request_name(self))
        }
    }
    impl __StringsPrivate::fmt::Debug for StringsResponse
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn fmt(
            &self,
            f: &mut __StringsPrivate::fmt::Formatter<'_>,
        ) -> __StringsPrivate::fmt::Result {
            f.write_str(__StringsPrivate::response_name::<StringsRequest>(self))
        }
    }
    #[doc(hidden)]
    impl __StringsPrivate::Variants for StringsRequest
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        const NAMES: &'static [&'static __StringsPrivate::str] = &[
            "Upcase",
            #[cfg(feature = "notes")]
            "Save",
        ];
        fn read<'__wire, Format: __StringsPrivate::VariantAccess<'__wire>>(
            name: &__StringsPrivate::str,
            body: Format,
        ) -> __StringsPrivate::Result<Self, Format::Error> {
            match name {
                "Upcase" => {
                    __StringsPrivate::Result::map(
                        <__StringsPrivate::Codec<
                            StringsRequest,
                        >>::read_fields(
                            body,
                            &["text"],
                            <__StringsPrivate::Codec<String>>::field(()),
                        ),
                        |(argument_0, ())| StringsRequest::Upcase {
                            text: argument_0,
                        },
                    )
                }
                #[cfg(feature = "notes")]
                "Save" => {
                    __StringsPrivate::Result::map(
                        <__StringsPrivate::Codec<
                            StringsRequest,
                        >>::read_fields(
                            body,
                            &["note", "dry_run"],
                            <__StringsPrivate::Codec<
                                Note,
                            >>::field(<__StringsPrivate::Codec<bool>>::field(())),
                        ),
                        |(argument_0, (argument_1, ()))| StringsRequest::Save {
                            note: argument_0,
                            dry_run: argument_1,
                        },
                    )
                }
                _ => __StringsPrivate::unknown_variant::<_, Format>(name),
            }
        }
        fn read_response<'__wire, Format: __StringsPrivate::VariantAccess<'__wire>>(
            name: &__StringsPrivate::str,
            body: Format,
        ) -> __StringsPrivate::Result<StringsResponse, Format::Error> {
            match name {
                "Upcase" => {
                    __StringsPrivate::Result::map(
                        <__StringsPrivate::Codec<String>>::read(body),
                        StringsResponse::Upcase,
                    )
                }
                #[cfg(feature = "notes")]
                "Save" => {
                    __StringsPrivate::Result::map(
                        <__StringsPrivate::Codec<Result<u64, Full>>>::read(body),
                        StringsResponse::Save,
                    )
                }
                _ => __StringsPrivate::unknown_variant::<_, Format>(name),
            }
        }
    }
    impl __StringsPrivate::Serialize for StringsRequest
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn serialize<Format: __StringsPrivate::Serializer>(
            &self,
            to: Format,
        ) -> __StringsPrivate::Result<Format::Ok, Format::Error> {
            __StringsPrivate::serialize_request("StringsRequest", self, to)
        }
    }
    impl<'__wire> __StringsPrivate::Deserialize<'__wire> for StringsRequest
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn deserialize<Format: __StringsPrivate::Deserializer<'__wire>>(
            body: Format,
        ) -> __StringsPrivate::Result<Self, Format::Error> {
            __StringsPrivate::deserialize_request("StringsRequest", body)
        }
    }
    impl __StringsPrivate::Serialize for StringsResponse
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn serialize<Format: __StringsPrivate::Serializer>(
            &self,
            to: Format,
        ) -> __StringsPrivate::Result<Format::Ok, Format::Error> {
            __StringsPrivate::serialize_response::<
                StringsRequest,
                _,
            >("StringsResponse", self, to)
        }
    }
    impl<'__wire> __StringsPrivate::Deserialize<'__wire> for StringsResponse
    where
        for<'__send> StringsRequest: __StringsPrivate::Sends<'__send>,
        for<'__send> StringsResponse: __StringsPrivate::Sends<'__send>,
    {
        fn deserialize<Format: __StringsPrivate::Deserializer<'__wire>>(
            body: Format,
        ) -> __StringsPrivate::Result<Self, Format::Error> {
            __StringsPrivate::deserialize_response::<
                StringsRequest,
                _,
            >("StringsResponse", body)
        }
    }
    __StringsPrivate::with_tarpc! {
        impl __StringsPrivate::tarpc::RequestName for StringsRequest where for < '__send
        > StringsRequest : __StringsPrivate::Sends < '__send >, for < '__send >
        StringsResponse : __StringsPrivate::Sends < '__send >, { fn name(& self) -> &
        __StringsPrivate::str { __StringsPrivate::request_name(self) } } impl < S :
        Strings > __StringsPrivate::tarpc::server::Serve for ServeStrings < S > where for
        < '__send > StringsRequest : __StringsPrivate::Sends < '__send >, for < '__send >
        StringsResponse : __StringsPrivate::Sends < '__send >, { type Req =
        StringsRequest; type Resp = StringsResponse; fn serve(self, context :
        __StringsPrivate::tarpc::context::Context, request : StringsRequest,) -> impl
        __StringsPrivate::Future < Output = __StringsPrivate::Result < StringsResponse,
        __StringsPrivate::tarpc::ServerError >, > + __StringsPrivate::Send {
        __StringsPrivate::serve_tarpc(self, context, request) } } impl < Stub >
        StringsClient < __StringsPrivate::ViaStub < Stub >> where Stub :
        __StringsPrivate::tarpc::client::stub::Stub < Req = StringsRequest, Resp =
        StringsResponse > + 'static, { #[doc =
        r" Creates a client that calls through a tarpc stub, without a node. Its futures are"]
        #[doc = r" `Send` if the stub's futures are."] pub fn from_stub(stub : Stub) ->
        Self { StringsClient { via : __StringsPrivate::ViaStub::new(stub) } } }
    }
    const _: () = {
        fn __requirements() {
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<String>>::encodes(),
                        <__StringsPrivate::Codec<String>>::decodes(),
                        <__StringsPrivate::Codec<String>>::sends(),
                    )
                    .is_sent_between_nodes::<String>();
            }
            #[cfg(feature = "notes")]
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<Note>>::encodes(),
                        <__StringsPrivate::Codec<Note>>::decodes(),
                        <__StringsPrivate::Codec<Note>>::sends(),
                    )
                    .is_sent_between_nodes::<Note>();
            }
            #[cfg(feature = "notes")]
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<bool>>::encodes(),
                        <__StringsPrivate::Codec<bool>>::decodes(),
                        <__StringsPrivate::Codec<bool>>::sends(),
                    )
                    .is_sent_between_nodes::<bool>();
            }
            #[cfg(feature = "notes")]
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<u64>>::encodes(),
                        <__StringsPrivate::Codec<u64>>::decodes(),
                        <__StringsPrivate::Codec<u64>>::sends(),
                    )
                    .is_sent_between_nodes::<u64>();
            }
            #[cfg(feature = "notes")]
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<Full>>::encodes(),
                        <__StringsPrivate::Codec<Full>>::decodes(),
                        <__StringsPrivate::Codec<Full>>::sends(),
                    )
                    .is_sent_between_nodes::<Full>();
            }
            #[cfg(feature = "notes")]
            {
                __StringsPrivate::WireTraits::new(
                        <__StringsPrivate::Codec<Result<u64, Full>>>::encodes(),
                        <__StringsPrivate::Codec<Result<u64, Full>>>::decodes(),
                        <__StringsPrivate::Codec<Result<u64, Full>>>::sends(),
                    )
                    .unless_missing_in(
                        &__StringsPrivate::WireTraits::new(
                            <__StringsPrivate::Codec<Full>>::encodes(),
                            <__StringsPrivate::Codec<Full>>::decodes(),
                            <__StringsPrivate::Codec<Full>>::sends(),
                        ),
                    )
                    .is_sent_between_nodes::<Result<u64, Full>>();
            }
            #[cfg(feature = "notes")] __StringsPrivate::has_default::<bool>();
        }
    };
};
