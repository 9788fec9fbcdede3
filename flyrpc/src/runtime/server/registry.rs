//! The services of this node, and their methods by index.

use std::{any::Any, sync::Arc};

use super::{
    handler_future::Until, handler_time::HandlerTime, inline_policy::InlinePolicy,
    method_limit::MethodLimit, serve_report::ServeReporter,
};
use crate::{
    error::StartError,
    proto::wire::{
        ids::MethodIndex,
        service_limits::{ServicesLimit, check_own_services},
    },
    service::{Service, ServiceKind},
    telemetry::Observers,
    types::{NodeInfo, ServiceSpec},
};

/// The services of a node. The first is the internal service.
pub(super) struct Registry {
    services: Vec<Arc<dyn Service>>,
    specs: Arc<[ServiceSpec]>,
    locals: Vec<Box<dyn Any + Send + Sync>>,
    /// Ordered by the index that identifies a method on every link.
    methods: Vec<Arc<ServedMethod>>,
}

/// A method of a service of this node.
pub(super) struct ServedMethod {
    /// The service that implements the method.
    pub(super) implementation: Arc<dyn Service>,
    /// The index of the service.
    pub(super) service: usize,
    /// The index of the method within the service.
    pub(super) method: usize,
    pub(super) primary: bool,
    pub(super) until: Until,
    pub(super) inline_policy: InlinePolicy,
    /// The limit of the calls of this method in progress, if there is one.
    pub(super) limit: Option<Arc<MethodLimit>>,
    pub(super) time: HandlerTime,
    /// Reports its calls.
    pub(super) reporter: Arc<ServeReporter>,
}

impl ServedMethod {
    pub(super) fn kind(&self) -> ServiceKind {
        if self.service == 0 { ServiceKind::Internal } else { ServiceKind::User }
    }

    /// Whether its handlers run to completion, even if their callers cancel or disconnect.
    pub(super) fn is_detached(&self) -> bool {
        self.until == Until::Completion
    }
}

impl Registry {
    /// Creates a registry. The first of `services` must be the internal service.
    ///
    /// # Errors
    ///
    /// Returns an error if two services have the same name, or if there are too many.
    pub(super) fn new(
        services: Vec<Arc<dyn Service>>,
        inline_after: u32,
        observers: Option<&Arc<Observers>>,
        node: &NodeInfo,
    ) -> Result<Self, StartError> {
        let specs: Arc<[ServiceSpec]> = services.iter().map(|service| service.spec()).collect();
        for (at, spec) in specs.iter().enumerate() {
            if let Some(first) = specs[..at].iter().position(|first| first.name == spec.name) {
                return Err(StartError::DuplicateService {
                    name: spec.name.clone(),
                    first: services[first].type_name(),
                    second: services[at].type_name(),
                });
            }
        }
        check_own_services(&specs).map_err(|ServicesLimit { what, count, limit }| {
            StartError::TooManyServices { what, count, limit }
        })?;
        let methods = specs.iter().enumerate().flat_map(|(service, spec)| {
            let implementation = &services[service];
            // The first service is the internal one, whose calls are not reported.
            let observers = observers.filter(|_| service > 0);
            spec.methods.iter().enumerate().map(move |(method, spec)| {
                let reporter = ServeReporter::new(
                    observers.cloned(),
                    node,
                    implementation.rpc_method(method),
                    implementation.returns_result(method),
                );
                Arc::new(ServedMethod {
                    implementation: Arc::clone(implementation),
                    service,
                    method,
                    primary: spec.primary,
                    until: Until::of(spec.detached),
                    inline_policy: InlinePolicy::new(inline_after),
                    limit: implementation.max_in_flight(method).map(MethodLimit::new),
                    time: HandlerTime::default(),
                    reporter,
                })
            })
        });
        Ok(Registry {
            methods: methods.collect(),
            locals: services.iter().map(|service| service.local()).collect(),
            services,
            specs,
        })
    }

    pub(super) fn specs(&self) -> &Arc<[ServiceSpec]> {
        &self.specs
    }

    /// Returns the methods of the user's services.
    pub(super) fn user_methods(&self) -> impl Iterator<Item = &Arc<ServedMethod>> {
        self.methods.iter().filter(|method| method.kind() == ServiceKind::User)
    }

    /// Returns the method at this index, if there is one.
    pub(super) fn method(&self, index: MethodIndex) -> Option<&Arc<ServedMethod>> {
        self.methods.get(usize::try_from(index.0).ok()?)
    }

    /// Returns the method at this index of the service called `service`.
    pub(super) fn method_of(&self, service: &str, method: usize) -> Option<&Arc<ServedMethod>> {
        let at = self.specs.iter().position(|spec| spec.name == service)?;
        let before: usize = self.specs[..at].iter().map(|spec| spec.methods.len()).sum();
        self.methods.get(before + method)
    }

    /// Returns the wire name of the service that a method belongs to.
    pub(super) fn service_name(&self, method: &ServedMethod) -> &str {
        &self.specs[method.service].name
    }

    /// Returns the wire name of a method.
    pub(super) fn method_name(&self, method: &ServedMethod) -> &str {
        &self.specs[method.service].methods[method.method].name
    }

    /// Returns the service called `name`, its spec, and its local handler.
    pub(super) fn find(
        &self,
        name: &str,
    ) -> Option<(&Arc<dyn Service>, &ServiceSpec, &(dyn Any + Send + Sync))> {
        let at = self.specs.iter().position(|spec| spec.name == name)?;
        Some((&self.services[at], &self.specs[at], &*self.locals[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::{
            Handler, Method, MethodOptions, Request,
            messages::{ArgumentSink, ResponseSink},
        },
        types::NodeId,
    };

    /// A service with as many methods of this name as no hello has room for.
    #[derive(Clone)]
    struct Wide;

    const LONG_NAME: &str = concat!(
        "upcase_or_downcase_or_capitalize_or_leave_as_it_is_depending_on_the_locale_of_the_caller_",
        "or_on_the_locale_of_the_node_if_the_caller_has_none_and_on_the_text_if_no_node_has_one",
    );

    impl Request for Wide {
        type Response = ();

        const SERVICE: &'static str = "Wide";

        fn methods() -> &'static [Method<Self>] {
            let method = |_| Method {
                name: LONG_NAME,
                full_name: LONG_NAME,
                rpc_method: LONG_NAME,
                arguments: &[],
                returns: "()",
                options: MethodOptions::new(),
                decode: |_| Ok(Wide),
                decode_response: |_| Ok(()),
                returns_result: false,
                is_err: |()| false,
            };
            Vec::leak((0..6_000).map(method).collect())
        }

        fn method(&self) -> usize {
            0
        }

        fn method_of((): &()) -> usize {
            0
        }

        fn encode<S: ArgumentSink>(&self, _: &mut S) -> Result<(), S::Error> {
            Ok(())
        }

        fn encode_response<S: ResponseSink>((): &(), to: S) -> Result<S::Ok, S::Error> {
            to.put(&())
        }
    }

    impl Handler for Wide {
        type Request = Wide;

        fn handle(&self, _: Wide) -> impl Future<Output = ()> + Send + 'static {
            std::future::ready(())
        }
    }

    #[test]
    fn services_whose_descriptions_do_not_fit_a_hello_are_refused() {
        let addr = ([127, 0, 0, 1], 1).into();
        let node = NodeInfo::new(NodeId::new("iad-0", 1), "iad".into(), addr);
        let Err(error) = Registry::new(vec![Arc::new(Wide)], 0, None, &node) else {
            panic!("not refused")
        };
        let StartError::TooManyServices { what, count, limit } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*what, "bytes of encoded descriptions");
        assert!(count > limit, "{error}");
        let text = format!(
            "the node serves {count} bytes of encoded descriptions, and other nodes accept {limit}"
        );
        assert_eq!(error.to_string(), text);
    }
}
