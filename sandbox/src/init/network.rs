//! Routing inside a network namespace.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};

use crate::network::Prefix;

/// Makes sending to these addresses fail with EACCES (ip-rule(8), `prohibit`). A rule, not a
/// route: it comes before all routes, also before those that belong to an interface; only the
/// namespace's own addresses come before it.
pub(super) fn close(prefix: &Prefix) -> nix::Result<()> {
    let mut rule = RuleMessage::default();
    rule.header.family = match prefix.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    rule.header.dst_len = prefix.length;
    rule.header.action = RuleAction::Prohibit;
    rule.attributes = vec![RuleAttribute::Priority(0), RuleAttribute::Destination(prefix.address)];
    match request(RouteNetlinkMessage::NewRule(rule)) {
        // A kernel without this protocol sends nothing by it.
        Err(Errno::EAFNOSUPPORT) => Ok(()),
        result => result,
    }
}

/// Sends one request and waits for what the kernel says of it (rtnetlink(7)).
fn request(message: RouteNetlinkMessage) -> nix::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let socket = socket::socket(
        socket::AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    socket::sendto(socket.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; 4096];
    let count = socket::recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..count]) {
        Ok(NetlinkMessage { payload: NetlinkPayload::Error(error), .. }) => match error.code {
            None => Ok(()),
            Some(code) => Err(Errno::from_raw(-code.get())),
        },
        _ => Err(Errno::EBADMSG),
    }
}
