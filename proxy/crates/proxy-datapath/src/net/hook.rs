//! Which hook an interface gets. Pure: facts in, choice out.

use super::LinkFacts;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hook {
    /// Native XDP where the driver has it and it pays, with tcx beneath; else tcx alone.
    #[default]
    Auto,
    /// tcx alone.
    Tc,
    /// Native XDP on every interface whose driver has it, virtual ones included.
    Xdp,
    /// XDP in the kernel's generic form: slower than tcx, meant for tests.
    XdpGeneric,
}

/// What an interface gets. The tcx program is attached under an XDP program too: it translates
/// what XDP cannot send by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing, and why.
    None(&'static str),
    /// The tcx program.
    Tc,
    /// The tcx program and the XDP program.
    Xdp {
        /// Generic instead of native.
        generic: bool,
    },
}

/// `NETDEV_XDP_ACT_*` (`include/uapi/linux/netdev.h`).
const XDP_BASIC: u64 = 1;
const XDP_REDIRECT: u64 = 2;
const XDP_NDO_XMIT: u64 = 4;

/// Chooses for one interface.
pub(crate) fn choose(hook: Hook, link: &LinkFacts, master_kind: Option<&str>) -> Choice {
    if link.loopback {
        return Choice::None("loopback: local clients are served by the userspace listener");
    }
    if !link.up {
        return Choice::None("down");
    }
    // These take the frame over before it reaches an address of ours.
    let taken_over = ["bridge", "bond", "team", "openvswitch", "hsr", "batadv"];
    if master_kind.is_some_and(|kind| taken_over.contains(&kind)) {
        return Choice::None("a port of another interface, which has the hook");
    }
    if link.kind.as_deref() == Some("vrf") {
        return Choice::None("VRF: its members have the hook");
    }
    if !link.ethernet {
        return Choice::None("no Ethernet interface");
    }
    match hook {
        Hook::Tc => Choice::Tc,
        Hook::XdpGeneric => Choice::Xdp { generic: true },
        Hook::Xdp if may_have_xdp(link) => Choice::Xdp { generic: false },
        Hook::Auto if may_have_xdp(link) && pays(link) => Choice::Xdp { generic: false },
        Hook::Xdp | Hook::Auto => Choice::Tc,
    }
}

fn may_have_xdp(link: &LinkFacts) -> bool {
    link.xdp_features.is_none_or(|f| f & (XDP_BASIC | XDP_REDIRECT) == XDP_BASIC | XDP_REDIRECT)
}

/// A driver of hardware, which has no kind. Virtual ones gain nothing from XDP and lose the large
/// frames their peers send; virtio switches off the receive offloads of all other traffic for it.
fn pays(link: &LinkFacts) -> bool {
    link.kind.is_none() && link.bus.as_deref() != Some("virtio") && link.bus.is_some()
}

/// Whether frames may be redirected to the interface from XDP.
pub(crate) fn takes_xdp_frames(link: &LinkFacts, generic: bool) -> bool {
    generic || link.xdp_features.is_some_and(|f| f & XDP_NDO_XMIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: Option<&str>, bus: Option<&str>, features: Option<u64>) -> LinkFacts {
        LinkFacts {
            index: 2,
            name: "eth0".to_owned(),
            kind: kind.map(str::to_owned),
            bus: bus.map(str::to_owned),
            master: None,
            mtu: 1500,
            up: true,
            loopback: false,
            ethernet: true,
            xdp_features: features,
        }
    }

    #[track_caller]
    fn check(hook: Hook, link: LinkFacts, expected: Choice) {
        assert_eq!(choose(hook, &link, None), expected);
    }

    const NATIVE: Choice = Choice::Xdp { generic: false };

    #[test]
    fn hardware_gets_xdp_and_virtual_links_tcx() {
        check(Hook::Auto, link(None, Some("pci"), Some(7)), NATIVE);
        check(Hook::Auto, link(None, Some("pci"), None), NATIVE);
        check(Hook::Auto, link(None, Some("pci"), Some(0)), Choice::Tc);
        check(Hook::Auto, link(None, Some("virtio"), Some(7)), Choice::Tc);
        for kind in ["veth", "bridge", "bond", "dummy", "tun", "vlan", "macvlan", "netkit"] {
            check(Hook::Auto, link(Some(kind), None, Some(3)), Choice::Tc);
        }
    }

    #[test]
    fn orders_are_followed() {
        check(Hook::Tc, link(None, Some("pci"), Some(7)), Choice::Tc);
        check(Hook::Xdp, link(Some("veth"), None, Some(3)), NATIVE);
        check(Hook::Xdp, link(Some("dummy"), None, Some(0)), Choice::Tc);
        check(Hook::XdpGeneric, link(Some("dummy"), None, Some(0)), Choice::Xdp { generic: true });
    }

    #[test]
    fn some_get_nothing() {
        let none = |link: &LinkFacts, master| {
            assert!(matches!(choose(Hook::Auto, link, master), Choice::None(_)), "{link:?}");
        };
        let plain = link(None, Some("pci"), Some(7));
        none(&LinkFacts { loopback: true, ..plain.clone() }, None);
        none(&LinkFacts { up: false, ..plain.clone() }, None);
        none(&LinkFacts { ethernet: false, ..plain.clone() }, None);
        none(&plain, Some("bridge"));
        none(&plain, Some("bond"));
        none(&link(Some("vrf"), None, None), None);
        assert_eq!(choose(Hook::Auto, &plain, Some("vrf")), NATIVE);
    }

    #[test]
    fn redirect_targets() {
        assert!(takes_xdp_frames(&link(None, Some("pci"), Some(7)), false));
        assert!(!takes_xdp_frames(&link(Some("veth"), None, Some(3)), false));
        assert!(!takes_xdp_frames(&link(None, Some("pci"), None), false));
        assert!(takes_xdp_frames(&link(None, None, Some(0)), true));
    }
}
