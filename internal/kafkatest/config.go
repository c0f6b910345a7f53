package kafkatest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config describes a cluster. The zero value is one plaintext node on free
// ports, in a folder that is thrown away.
type Config struct {
	// Nodes is 1 (the default) or 3. With three, topics have three replicas and
	// min.insync.replicas is 2.
	Nodes int
	// Security of the listeners that clients use, the doors too. Default: PLAINTEXT.
	Security Security
	// Properties go into every node's server.properties, over what this package
	// writes there: "broker.session.timeout.ms", "group.min.session.timeout.ms" ...
	Properties map[string]string
	// Doors are further listeners of every node, up to three, each behind a Proxy:
	// a client that comes by a door (Cluster.Door) meets its proxies, and no other client's.
	Doors int
	// Port is the first node's; the second node has the next one, and up to nine
	// ports in a row are used. Default: free ones, the same over restarts.
	Port int
	// Dir keeps the data. A folder that holds a cluster's data already is opened
	// again. Default: a temporary one, removed at the end.
	Dir string
}

// Protocol is one of Kafka's security protocols, by Kafka's name.
type Protocol string

// The protocols of a client listener.
const (
	Plaintext     Protocol = "PLAINTEXT"
	SASLPlaintext Protocol = "SASL_PLAINTEXT"
	SSL           Protocol = "SSL"
	SASLSSL       Protocol = "SASL_SSL"
)

// Mechanism is one of Kafka's SASL mechanisms, by Kafka's name.
type Mechanism string

// The mechanisms that brokers can accept.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
)

// The one user that a SASL listener knows, under every mechanism.
const (
	User     = "limpet"
	Password = "limpet-secret"
)

// Security says how clients are let in. Brokers speak plaintext among themselves.
type Security struct {
	// Protocol is PLAINTEXT by default.
	Protocol Protocol
	// Mechanisms are what a SASL listener accepts. Default: all three.
	Mechanisms []Mechanism
	// ClientCert makes a TLS listener ask for a certificate of the cluster's CA (mTLS).
	ClientCert bool
}

func (s Security) sasl() bool { return s.Protocol == SASLPlaintext || s.Protocol == SASLSSL }
func (s Security) tls() bool  { return s.Protocol == SSL || s.Protocol == SASLSSL }

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Security.Protocol == "" {
		c.Security.Protocol = Plaintext
	}
	if c.Security.sasl() && len(c.Security.Mechanisms) == 0 {
		c.Security.Mechanisms = []Mechanism{ScramSHA256, ScramSHA512, Plain}
	}
	return c
}

// Validate says what is wrong with c, all of it at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("kafkatest: "+format, args...)) }
	if c.Nodes != 1 && c.Nodes != 3 {
		bad("Nodes: %d, want 1 or 3", c.Nodes)
	}
	if c.Port < 0 || c.Port+portsPerNode*c.Nodes > 65536 {
		bad("Port: %d and the %d after it are no ports", c.Port, portsPerNode*c.Nodes-1)
	}
	if c.Doors < 0 || c.Doors > doorsMax {
		bad("Doors: %d, want 0 to %d", c.Doors, doorsMax)
	}
	s := c.Security
	if !slices.Contains([]Protocol{Plaintext, SASLPlaintext, SSL, SASLSSL}, s.Protocol) {
		bad("Security.Protocol: %q is none of PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL", s.Protocol)
	}
	if !s.sasl() && len(s.Mechanisms) > 0 {
		bad("Security.Mechanisms: %s has none", s.Protocol)
	}
	for _, m := range s.Mechanisms {
		if m != Plain && m != ScramSHA256 && m != ScramSHA512 {
			bad("Security.Mechanisms: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", m)
		}
	}
	if s.ClientCert && !s.tls() {
		bad("Security.ClientCert: %s has no certificates", s.Protocol)
	}
	return errors.Join(errs...)
}

// The three listeners of a node.
const (
	clientListener = iota
	internalListener
	controllerListener
	portsPerNode
)

// port of a node's listener, when the cluster's ports begin at first.
func port(first, nodes, listener, id int) int { return first + nodes*listener + id - 1 }

// Folders as a node's process sees them, from its own: Kafka's lists of folders
// cannot name one with a comma, and a test's temporary folder may have any name.
const (
	dataDir = "data"
	tlsDir  = "../tls"
)

// doorsMax is as many as a block of ports has room for, with three nodes.
const doorsMax = (blockSize - 1) / 3

// door is a listener of one node, and the proxy's address that clients see in its place.
type door struct{ at, advertised string }

// properties is a node's server.properties. c has its defaults; ports begin at first.
func (c Config) properties(first, id int, doors []door) string {
	at := func(listener, id int) string {
		return fmt.Sprintf("127.0.0.1:%d", port(first, c.Nodes, listener, id))
	}
	var voters []string
	for i := 1; i <= c.Nodes; i++ {
		voters = append(voters, fmt.Sprintf("%d@%s", i, at(controllerListener, i)))
	}
	replicas, minISR := "1", "1"
	if c.Nodes > 1 {
		replicas, minISR = "3", "2"
	}
	clients := "CLIENT://" + at(clientListener, id) + ",INTERNAL://" + at(internalListener, id)
	listeners, advertised, protocols := clients, clients, ""
	for i, d := range doors {
		listeners += fmt.Sprintf(",DOOR%d://%s", i+1, d.at)
		advertised += fmt.Sprintf(",DOOR%d://%s", i+1, d.advertised)
		protocols += fmt.Sprintf(",DOOR%d:%s", i+1, c.Security.Protocol)
	}
	p := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"listeners":                      listeners + ",CONTROLLER://" + at(controllerListener, id),
		"advertised.listeners":           advertised,
		"listener.security.protocol.map": "CLIENT:" + string(c.Security.Protocol) + ",INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT" + protocols,
		"inter.broker.listener.name":     "INTERNAL",
		"controller.listener.names":      "CONTROLLER",
		"log.dirs":                       dataDir,

		"default.replication.factor":               replicas,
		"min.insync.replicas":                      minISR,
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            minISR,
		"transaction.state.log.num.partitions":     "4",

		"auto.create.topics.enable":        "false",
		"group.initial.rebalance.delay.ms": "0",
		"group.min.session.timeout.ms":     "1000",
		"log.cleaner.dedupe.buffer.size":   "4000000", // 128 MB by default, of a 512 MB heap
		// Tests write records of 1970, and the first look for old ones is 30 s after the start.
		"log.retention.ms": "-1",
		// An expired transaction is noticed up to this much later; default 10 s.
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}
	if c.Nodes == 1 {
		// Nobody takes over from a lone node: its session only keeps it out when it
		// comes back after a kill (13 s with Kafka's 9 s and 2 s).
		p["broker.session.timeout.ms"], p["broker.heartbeat.interval.ms"] = "3000", "500"
	}
	c.Security.addTo(p, "client")
	for i := range doors {
		c.Security.addTo(p, fmt.Sprintf("door%d", i+1))
	}
	maps.Copy(p, c.Properties)

	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, p[k])
	}
	return b.String()
}

// addTo adds the own properties of a listener for clients.
func (s Security) addTo(p map[string]string, name string) {
	listener := "listener.name." + name + "."
	if s.sasl() {
		var names []string
		for _, m := range s.Mechanisms {
			names = append(names, string(m))
			login := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
			if m == Plain {
				login = fmt.Sprintf("org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", User, Password)
			}
			p[listener+strings.ToLower(string(m))+".sasl.jaas.config"] = login
		}
		p[listener+"sasl.enabled.mechanisms"] = strings.Join(names, ",")
	}
	if s.tls() {
		p[listener+"ssl.keystore.type"] = "PEM"
		p[listener+"ssl.keystore.location"] = tlsDir + "/" + brokerStore
		p[listener+"ssl.truststore.type"] = "PEM"
		p[listener+"ssl.truststore.location"] = tlsDir + "/" + caFile
		if s.ClientCert {
			p[listener+"ssl.client.auth"] = "required"
		}
	}
}

// formatArgs are StorageTool's: the SCRAM users are part of the formatted metadata.
func (s Security) formatArgs() []string {
	var args []string
	for _, m := range s.Mechanisms {
		if m != Plain {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, User, Password))
		}
	}
	return args
}
