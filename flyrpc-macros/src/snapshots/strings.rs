/// Work on text.
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
///Serves an implementation of `Strings`: through a node, or as a tarpc `Serve`. Cloning it shares the implementation.
#[allow(dead_code)]
pub struct ServeStrings<S> {
    service: ::flyrpc::__private::Arc<S>,
}
#[allow(dead_code)]
impl<S: Strings> ServeStrings<S> {
    ///Serves `service`, an implementation of `Strings`.
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
///A call of a method of `Strings`: what crosses to the server.
#[allow(dead_code, non_camel_case_types, non_snake_case)]
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
///What a method of `Strings` gave: what crosses to the client.
#[allow(dead_code, non_camel_case_types, non_snake_case)]
#[derive(::flyrpc::__private::serde::Serialize, ::flyrpc::__private::serde::Deserialize)]
#[serde(crate = "::flyrpc::__private::serde")]
pub enum StringsResponse {
    ///The value of `upcase`.
    Upcase(String),
    #[cfg(feature = "notes")]
    ///The value of `save`.
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
    #[allow(unused_imports)]
    use ::flyrpc::__private::Unfit as _;
    #[allow(dead_code, non_camel_case_types, non_snake_case)]
    enum __Number {
        Upcase,
        #[cfg(feature = "notes")]
        Save,
    }
    const __NAMES: &[&str] = &[
        "strings.upcase",
        #[cfg(feature = "notes")]
        "strings.store",
    ];
    fn __number_of(request: &StringsRequest) -> usize {
        match *request {
            StringsRequest::Upcase { .. } => __Number::Upcase as usize,
            #[cfg(feature = "notes")]
            StringsRequest::Save { .. } => __Number::Save as usize,
        }
    }
    fn __number_of_reply(reply: &StringsResponse) -> usize {
        match *reply {
            StringsResponse::Upcase(..) => __Number::Upcase as usize,
            #[cfg(feature = "notes")]
            StringsResponse::Save(..) => __Number::Save as usize,
        }
    }
    impl ::flyrpc::__private::tarpc::RequestName for StringsRequest {
        fn name(&self) -> &str {
            __NAMES[__number_of(self)]
        }
    }
    impl ::flyrpc::__private::fmt::Debug for StringsRequest {
        fn fmt(
            &self,
            f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
        ) -> ::flyrpc::__private::fmt::Result {
            f.write_str(__NAMES[__number_of(self)])
        }
    }
    impl ::flyrpc::__private::fmt::Debug for StringsResponse {
        fn fmt(
            &self,
            f: &mut ::flyrpc::__private::fmt::Formatter<'_>,
        ) -> ::flyrpc::__private::fmt::Result {
            f.write_str(__NAMES[__number_of_reply(self)])
        }
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
                        arguments: &[
                            ::flyrpc::__private::Argument {
                                name: "text",
                                ty: "String",
                                optional: <::flyrpc::__private::Codec<String>>::is_optional,
                            },
                        ],
                        returns: "String",
                        options: ::flyrpc::__private::MethodOptions {
                            primary: false,
                            idempotent: false,
                            detached: false,
                            timeout: ::flyrpc::__private::Option::None,
                            wait: ::flyrpc::__private::Option::None,
                        },
                        decode: |arguments| ::flyrpc::__private::Result::Ok(StringsRequest::Upcase {
                            text: <::flyrpc::__private::Codec<
                                String,
                            >>::take(arguments, "text")?,
                        }),
                        decode_reply: |body| ::flyrpc::__private::Result::Ok(
                            StringsResponse::Upcase(
                                <::flyrpc::__private::Codec<String>>::decode(body)?,
                            ),
                        ),
                    },
                    #[cfg(feature = "notes")]
                    ::flyrpc::__private::Method {
                        name: "store",
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
                        options: ::flyrpc::__private::MethodOptions {
                            primary: true,
                            idempotent: false,
                            detached: false,
                            timeout: ::flyrpc::__private::Option::Some(
                                ::flyrpc::__private::Duration::from_micros(2000000u64),
                            ),
                            wait: ::flyrpc::__private::Option::None,
                        },
                        decode: |arguments| ::flyrpc::__private::Result::Ok(StringsRequest::Save {
                            note: <::flyrpc::__private::Codec<
                                Note,
                            >>::take(arguments, "note")?,
                            dry_run: <::flyrpc::__private::Codec<
                                bool,
                            >>::take_or_default(arguments, "dry_run")?,
                        }),
                        decode_reply: |body| ::flyrpc::__private::Result::Ok(
                            StringsResponse::Save(
                                <::flyrpc::__private::Codec<
                                    Result<u64, Full>,
                                >>::decode(body)?,
                            ),
                        ),
                    },
                ]
            }
        }
        fn method(&self) -> usize {
            __number_of(self)
        }
        #[allow(unused_variables)]
        fn encode(
            &self,
            arguments: &mut ::flyrpc::__private::ArgsWriter<'_>,
        ) -> ::flyrpc::__private::Result<(), ::flyrpc::__private::ArgumentError> {
            match *self {
                StringsRequest::Upcase { text: ref argument_0 } => {
                    <::flyrpc::__private::Codec<
                        String,
                    >>::put(arguments, "text", argument_0)?;
                    ::flyrpc::__private::Result::Ok(())
                }
                #[cfg(feature = "notes")]
                StringsRequest::Save {
                    note: ref argument_0,
                    dry_run: ref argument_1,
                } => {
                    <::flyrpc::__private::Codec<
                        Note,
                    >>::put(arguments, "note", argument_0)?;
                    <::flyrpc::__private::Codec<
                        bool,
                    >>::put_or_default(arguments, "dry_run", argument_1)?;
                    ::flyrpc::__private::Result::Ok(())
                }
            }
        }
        #[allow(unused_variables)]
        fn encode_reply(
            reply: &StringsResponse,
            to: &mut ::flyrpc::__private::Vec<u8>,
        ) -> ::flyrpc::__private::Result<(), ::flyrpc::__private::BodyError> {
            match *reply {
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
    #[allow(dead_code)]
    fn __verdicts() {
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<String>>::encodes(),
                    <::flyrpc::__private::Codec<String>>::decodes(),
                    <::flyrpc::__private::Codec<String>>::sends(),
                )
                .crosses_between_nodes::<String>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<Note>>::encodes(),
                    <::flyrpc::__private::Codec<Note>>::decodes(),
                    <::flyrpc::__private::Codec<Note>>::sends(),
                )
                .crosses_between_nodes::<Note>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<Note>>::encodes(),
                    <::flyrpc::__private::Codec<Note>>::decodes(),
                    <::flyrpc::__private::Codec<Note>>::sends(),
                )
                .crosses_between_nodes::<Note>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<bool>>::encodes(),
                    <::flyrpc::__private::Codec<bool>>::decodes(),
                    <::flyrpc::__private::Codec<bool>>::sends(),
                )
                .crosses_between_nodes::<bool>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<bool>>::encodes(),
                    <::flyrpc::__private::Codec<bool>>::decodes(),
                    <::flyrpc::__private::Codec<bool>>::sends(),
                )
                .crosses_between_nodes::<bool>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<u64>>::encodes(),
                    <::flyrpc::__private::Codec<u64>>::decodes(),
                    <::flyrpc::__private::Codec<u64>>::sends(),
                )
                .crosses_between_nodes::<u64>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<Full>>::encodes(),
                    <::flyrpc::__private::Codec<Full>>::decodes(),
                    <::flyrpc::__private::Codec<Full>>::sends(),
                )
                .crosses_between_nodes::<Full>();
        }
        #[cfg(feature = "notes")]
        {
            ::flyrpc::__private::Verdict::of(
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::encodes(),
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::decodes(),
                    <::flyrpc::__private::Codec<Result<u64, Full>>>::sends(),
                )
                .after(
                    &::flyrpc::__private::Verdict::of(
                        <::flyrpc::__private::Codec<Full>>::encodes(),
                        <::flyrpc::__private::Codec<Full>>::decodes(),
                        <::flyrpc::__private::Codec<Full>>::sends(),
                    ),
                )
                .crosses_between_nodes::<Result<u64, Full>>();
        }
        #[cfg(feature = "notes")] ::flyrpc::__private::has_default::<bool>();
    }
};
/**Calls the methods of `Strings` where it is aimed at.

Made by `Node::client`, or by `from_stub`. Selectors (`on_…`) and options return a client that is aimed elsewhere or calls otherwise; all of them are cheap to clone.

A method returns what the trait's does, within a `Result` that tells whether the call came through. Its future can be spawned, and does nothing until it is polled; dropping it cancels the call.*/
#[allow(dead_code)]
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
#[allow(dead_code, non_snake_case, unreachable_patterns)]
#[allow(clippy::all)]
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
        ::flyrpc::__private::value_of(
            ::flyrpc::__private::Caller::call(
                ::flyrpc::__private::Clone::clone(&self.via),
                StringsRequest::Upcase { text },
            ),
            |reply| match reply {
                StringsResponse::Upcase(value) => ::flyrpc::__private::Result::Ok(value),
                _ => {
                    ::flyrpc::__private::Result::Err(
                        ::flyrpc::__private::wrong_reply("strings", "upcase"),
                    )
                }
            },
        )
    }
    ///Calls `save` of `Strings`.
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
        ::flyrpc::__private::value_of(
            ::flyrpc::__private::Caller::call(
                ::flyrpc::__private::Clone::clone(&self.via),
                StringsRequest::Save {
                    note,
                    dry_run,
                },
            ),
            |reply| match reply {
                StringsResponse::Save(value) => ::flyrpc::__private::Result::Ok(value),
                _ => {
                    ::flyrpc::__private::Result::Err(
                        ::flyrpc::__private::wrong_reply("strings", "store"),
                    )
                }
            },
        )
    }
}
#[allow(dead_code)]
impl StringsClient {
    /// Aims at a node in `region`: at this one, in process, if it runs there and serves the
    /// method. Upper and lower case are the same.
    #[must_use = "selectors return the client that is aimed"]
    pub fn on_region(
        &self,
        region: impl ::flyrpc::__private::Into<::flyrpc::__private::Region>,
    ) -> Self {
        StringsClient {
            via: self.via.on_region(::flyrpc::__private::Into::into(region)),
        }
    }
    /// Aims at a node in the primary region, which must itself think that it is.
    #[must_use = "selectors return the client that is aimed"]
    pub fn on_primary(&self) -> Self {
        StringsClient {
            via: self.via.on_primary(),
        }
    }
    /// Aims at one boot of one node, and at no other if that is gone.
    #[must_use = "selectors return the client that is aimed"]
    pub fn on_node(
        &self,
        id: impl ::flyrpc::__private::Into<::flyrpc::__private::NodeId>,
    ) -> Self {
        StringsClient {
            via: self.via.on_node(::flyrpc::__private::Into::into(id)),
        }
    }
    /// Bounds the time that each call may take, 5 s unless its method says otherwise. In a
    /// handler what is left of the call that it serves is a bound too.
    #[must_use = "options return the client that has them"]
    pub fn timeout(&self, timeout: ::flyrpc::__private::Duration) -> Self {
        StringsClient {
            via: self.via.timeout(timeout),
        }
    }
    /// Lets each call wait this long for a node that can take it, within its timeout, rather
    /// than fail at once.
    #[must_use = "options return the client that has them"]
    pub fn wait(&self, wait: ::flyrpc::__private::Duration) -> Self {
        StringsClient {
            via: self.via.wait(wait),
        }
    }
}
#[allow(dead_code)]
impl<S> StringsClient<::flyrpc::__private::ViaStub<S>>
where
    S: ::flyrpc::__private::tarpc::client::stub::Stub<
            Req = StringsRequest,
            Resp = StringsResponse,
        > + 'static,
{
    /// Calls through a tarpc stub, without a node. Its futures are `Send` whenever the
    /// stub's are.
    pub fn from_stub(stub: S) -> Self {
        StringsClient {
            via: ::flyrpc::__private::ViaStub::new(stub),
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
    #[allow(unreachable_code, unused_variables)]
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
impl<S: Strings> ::flyrpc::__private::tarpc::server::Serve for ServeStrings<S>
where
    for<'__send> StringsRequest: ::flyrpc::__private::Sends<'__send>,
    for<'__send> StringsResponse: ::flyrpc::__private::Sends<'__send>,
{
    type Req = StringsRequest;
    type Resp = StringsResponse;
    #[allow(refining_impl_trait)]
    fn serve(
        self,
        context: ::flyrpc::__private::tarpc::context::Context,
        request: StringsRequest,
    ) -> impl ::flyrpc::__private::Future<
        Output = ::flyrpc::__private::Result<
            StringsResponse,
            ::flyrpc::__private::tarpc::ServerError,
        >,
    > + ::flyrpc::__private::Send {
        ::flyrpc::__private::serve_tarpc(self, context, request)
    }
}
