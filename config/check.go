package config

import (
	"cmp"
	"fmt"
)

// check holds keys against each other. A key that is wrong by itself is left out: its fault is told already.
func (r *reader) check() {
	if _, ok := r.at["trunks"]; !ok {
		r.fault(0, "trunks", "is missing: nobody could call", `want trunks: [{name: telkom, from: ["10.20.0.5/32"], numbers: ["112"]}]`)
	}
	r.checkNames()
	r.checkNetworks()
	r.checkWildcard()
	r.checkOneUDP()
	r.checkSocket()
	if r.fine("rtp") {
		r.checkPorts()
	}
}

// checkNames wants each trunk's name once.
func (r *reader) checkNames() {
	first := map[string]string{}
	for i, t := range r.cfg.Trunks {
		key := fmt.Sprintf("trunks[%d].name", i)
		if t.Name == "" {
			continue
		}
		if other, again := first[t.Name]; again {
			r.fault(r.at[key], key, fmt.Sprintf("%s is already the name of the trunk in line %d", t.Name, r.at[other]), "want another name")
			continue
		}
		first[t.Name] = key
	}
}

// checkNetworks wants no address to be of two trunks.
func (r *reader) checkNetworks() {
	for i := range r.nets {
		for _, p := range r.nets[i] {
			for j := range i {
				for _, q := range r.nets[j] {
					if p.value.Overlaps(q.value) {
						name := cmp.Or(r.cfg.Trunks[j].Name, fmt.Sprintf("trunks[%d]", j))
						r.fault(r.at[p.key], p.key, fmt.Sprintf("%s overlaps %s of the trunk %s in line %d", p.value, q.value, name, r.at[q.key]),
							"each address belongs to one trunk")
					}
				}
			}
		}
	}
}

// checkWildcard wants an address to tell the peers where a listener has none of its own.
func (r *reader) checkWildcard() {
	if r.cfg.SIP.Advertise.IsValid() || !r.fine("sip.advertise") {
		return
	}
	for _, l := range r.listens {
		if l.value.Addr.Addr().IsUnspecified() {
			r.fault(r.at[l.key], l.key, l.value.String()+" is every address of the machine, and sip.advertise is empty",
				"set sip.advertise to the address that the operator sees, or listen on that address")
			return
		}
	}
}

// checkOneUDP wants one UDP socket at most: the SIP stack knows a peer by its address, and would answer it through the
// socket that it used last.
func (r *reader) checkOneUDP() {
	first := ""
	for _, l := range r.listens {
		switch {
		case l.value.Network != "udp":
		case first != "":
			r.fault(r.at[l.key], l.key, fmt.Sprintf("%s is the second udp socket, after %s", l.value, first),
				"want one: listen on 0.0.0.0 or [::] and set sip.advertise")
		default:
			first = l.value.String()
		}
	}
}

// maxData is the longest folder in which a unix socket of SocketName fits: a path of one has 107 bytes.
const maxData = 107 - len("/") - len(SocketName)

// checkSocket wants room for the administration socket's path.
func (r *reader) checkSocket() {
	if n := len(r.cfg.Data); n > maxData && r.fine("data") {
		r.fault(r.at["data"], "data", fmt.Sprintf("%s has %d bytes: the administration socket in it would have no valid path", r.cfg.Data, n),
			fmt.Sprintf("want a folder whose whole path has at most %d bytes", maxData))
	}
}

// checkPorts wants a port pair for both legs of each live call, and no signaling among the sound.
func (r *reader) checkPorts() {
	p, calls := r.cfg.RTP, r.cfg.SIP.MaxCalls
	key := "rtp.ports"
	if r.at[key] == 0 {
		key = "sip.max_calls"
	}
	have := int(p.Last) - int(p.First) + 1
	if r.fine("sip.max_calls") && have/4 < calls {
		r.fault(r.at[key], key, fmt.Sprintf("%d-%d are %d ports: too few for %d calls", p.First, p.Last, have, calls),
			fmt.Sprintf("want 4 ports for each of sip.max_calls, or max_calls: %d", have/4))
	}
	for _, l := range r.listens {
		if port := l.value.Addr.Port(); l.value.Network == "udp" && p.First <= port && port <= p.Last {
			r.fault(r.at[l.key], l.key, fmt.Sprintf("port %d lies among the rtp.ports %d-%d", port, p.First, p.Last), "want a port outside them, as 5060")
		}
	}
}
