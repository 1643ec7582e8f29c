use super::*;

fn facts(servers: &[&str], upstream: &[&str]) -> NetworkFacts {
    let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    NetworkFacts {
        pasta: Some("/usr/bin/pasta".into()),
        slirp4netns: Some("/usr/bin/slirp4netns".into()),
        no_tunnel: None,
        addresses: parse(&["192.0.2.2", "2001:db8::2"]),
        name_servers: parse(servers),
        search: "search example.com\n".to_owned(),
        upstream: parse(upstream),
    }
}

fn network(facts: &NetworkFacts, ports: &[u16]) -> Filtered {
    match plan(Network::Filtered, ports, facts, false) {
        Ok(NetworkPlan::Filtered(network)) => network,
        other => panic!("{other:?}"),
    }
}

fn ends_with(carrier: &Carrier, arguments: &[&str]) {
    assert!(carrier.arguments.join(" ").ends_with(&arguments.join(" ")), "{carrier:?}");
}

#[test]
fn pasta_comes_first_and_opens_nothing() {
    let facts = facts(&["192.0.2.53"], &[]);
    let network = network(&facts, &[]);
    assert_eq!(network.carriers[0].kind, CarrierKind::Pasta);
    ends_with(&network.carriers[0], &["--tcp-ns=none", "--udp-ns=none"]);
    // Where that does not start.
    let kinds: Vec<CarrierKind> = network.carriers.iter().map(|carrier| carrier.kind).collect();
    assert_eq!(kinds, [CarrierKind::Pasta, CarrierKind::Slirp4netns]);
    assert!(network.carriers.iter().all(|carrier| !carrier.apart));
    let of_root = filtered(&[], &facts, true).unwrap();
    let apart: Vec<bool> = of_root.carriers.iter().map(|carrier| carrier.apart).collect();
    assert_eq!(apart, [false, true]);
    assert_eq!(facts.resolver_configuration(), None);
}

#[test]
fn ports_of_the_host_that_are_asked_for() {
    let network = network(&facts(&["192.0.2.53"], &[]), &[8080, 3128, 8080]);
    ends_with(&network.carriers[0], &["--tcp-ns=3128,8080", "--udp-ns=none"]);
    assert_eq!(network.carriers.len(), 1, "slirp4netns cannot");
}

#[test]
fn name_servers_that_only_the_host_reaches() {
    let resolved = facts(&["127.0.0.53"], &["192.0.2.53"]);
    ends_with(
        &network(&resolved, &[]).carriers[0],
        &["--dns-forward=198.18.0.3", "--dns=192.0.2.53", "--tcp-ns=none", "--udp-ns=none"],
    );
    let expected = "nameserver 198.18.0.3\nsearch example.com\n";
    assert_eq!(resolved.resolver_configuration().as_deref(), Some(expected));

    let bridge = facts(&["192.0.2.2", "192.0.2.53"], &[]);
    assert_eq!(bridge.names(), Names::Forwarded("192.0.2.2".parse().unwrap()));

    let cloud = facts(&["169.254.169.254"], &[]);
    assert_eq!(cloud.names(), Names::Forwarded("169.254.169.254".parse().unwrap()));

    let own = facts(&["127.0.0.1"], &[]);
    ends_with(&network(&own, &[]).carriers[0], &["--tcp-ns=53", "--udp-ns=53"]);
    let expected = "nameserver 127.0.0.1\nsearch example.com\n";
    assert_eq!(own.resolver_configuration().as_deref(), Some(expected));
}

#[test]
fn the_hosts_own_addresses_are_closed() {
    let pasta = facts(&["192.0.2.53"], &[]);
    let slirp = NetworkFacts { pasta: None, ..pasta.clone() };
    for (facts, carrier) in [(pasta, CarrierKind::Pasta), (slirp, CarrierKind::Slirp4netns)] {
        let network = network(&facts, &[]);
        assert_eq!(network.carriers[0].kind, carrier);
        let closed: Vec<_> =
            network.closed.iter().map(|p| format!("{}/{}", p.address, p.length)).collect();
        assert_eq!(closed, ["169.254.0.0/16", "fe80::/10", "192.0.2.2/32", "2001:db8::2/128"]);
    }
}

#[test]
fn without_a_carrier() {
    let none = NetworkFacts { pasta: None, slirp4netns: None, ..facts(&[], &[]) };
    let reason = "neither pasta nor slirp4netns is installed".to_owned();
    assert_eq!(
        plan(Network::FilteredOrHost, &[], &none, false),
        Ok(NetworkPlan::Host(Some(reason.clone())))
    );
    assert_eq!(
        plan(Network::Filtered, &[], &none, false),
        Err(PlanError::NoFilteredNetwork(reason))
    );
    let slirp = NetworkFacts { pasta: None, ..facts(&[], &[]) };
    let needed = plan(Network::FilteredOrHost, &[3128], &slirp, false);
    assert!(matches!(needed, Ok(NetworkPlan::Host(Some(why))) if why.starts_with("port 3128 of")));
    let closed = NetworkFacts { no_tunnel: Some("permission denied".to_owned()), ..slirp };
    assert!(closed.unusable().unwrap().starts_with("/dev/net/tun cannot be opened: permission"));
}

#[test]
fn root_stays_root_to_join_its_own_namespace() {
    let facts = facts(&[], &[]);
    let Ok(NetworkPlan::Filtered(network)) = plan(Network::Filtered, &[], &facts, true) else {
        panic!("a plan");
    };
    ends_with(&network.carriers[0], &["--runas=0"]);
}
