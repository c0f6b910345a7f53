package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// naiveSaga is the orchestrated saga. An order has a stage; each service has been asked or not, and has answered or not.
type naiveSaga struct {
	emit   emit
	orders map[string]*naiveOrder
}

type naiveOrder struct {
	order    fields
	stage    string
	services map[string]string // what each was asked and said
	tries    int
	again    bool // stock and money were asked for twice, or more often
	why      string
	due      core.Time // when nobody is waited for any more; 0: nobody is
}

// The names of what the example has as numbers, in their order.
var (
	naiveStages  = []string{"", "preparing", "sending", "undoing", "shipped", "cancelled"}
	naiveAnswers = []string{"", "asked", "done", "failed", "undone"}
)

func newNaiveSaga(e emit) naive { return &naiveSaga{e, map[string]*naiveOrder{}} }

func (m *naiveSaga) take(topic, key string, value []byte, wall core.Time) {
	v := members(value)
	o := m.orders[key]
	if o == nil {
		o = &naiveOrder{services: map[string]string{}}
		m.orders[key] = o
	}
	if topic == "orders-placed" {
		if o.stage == "" {
			*o = naiveOrder{order: v, stage: "preparing", services: map[string]string{}}
			m.ask(key, o, wall)
		}
		return
	}
	service := map[string]string{"stock-events": "stock", "payment-events": "money", "shipping-events": "parcel"}[topic]
	asked := o.services[service] == "asked"
	switch kind := v.text("type"); kind {
	case "Reserved", "Paid", "Sent":
		if asked {
			o.services[service] = "done"
		}
	case "ReserveFailed", "PaymentFailed", "SendFailed":
		o.why = v.text("Why") // the last one that was heard of
		if asked {
			o.services[service] = "failed"
		}
	case "Released", "Refunded":
		o.services[service] = "undone"
	}
	m.on(key, o, wall)
}

// on does what is to be done after an answer.
func (m *naiveSaga) on(id string, o *naiveOrder, wall core.Time) {
	stock, money, parcel := o.services["stock"], o.services["money"], o.services["parcel"]
	switch {
	case o.stage == "preparing" && (stock == "failed" || money == "failed"), o.stage == "sending" && parcel == "failed":
		m.undo(id, o, wall)
	case o.stage == "preparing" && stock == "done" && money == "done":
		o.stage, o.tries = "sending", 0
		m.ask(id, o, wall)
	case o.stage == "sending" && parcel == "done":
		m.end(id, o, "shipped")
	case o.stage == "undoing" && !o.holds("stock") && !o.holds("money"):
		m.end(id, o, "cancelled")
	case o.stage == "undoing" && o.holds("stock") && money == "undone":
		m.ask(id, o, wall)
	}
}

// holds reports whether a service has, or may have, done what it was asked: where it was asked again, its no may
// be followed by a yes.
func (o *naiveOrder) holds(service string) bool {
	said := o.services[service]
	return said == "asked" || said == "done" || o.again && said == "failed"
}

func (m *naiveSaga) undo(id string, o *naiveOrder, wall core.Time) {
	o.stage, o.tries = "undoing", 0
	if o.holds("stock") || o.holds("money") {
		m.ask(id, o, wall)
	} else {
		m.end(id, o, "cancelled")
	}
}

// ask tells services what to do, and waits for a minute.
func (m *naiveSaga) ask(id string, o *naiveOrder, wall core.Time) {
	o.due = wall + core.Time(time.Minute/time.Millisecond)
	first := func(service string) bool {
		was := o.services[service]
		if was == "" {
			o.services[service] = "asked"
		}
		return was == "" || was == "asked"
	}
	stock := fields{"OrderID": id, "Item": o.order["Item"], "Release": o.stage == "undoing"}
	money := fields{"OrderID": id, "Cents": o.order["Cents"], "Refund": o.stage == "undoing"}
	switch o.stage {
	case "preparing":
		if first("stock") {
			m.emit("stock-commands", id, stock)
		}
		if first("money") {
			m.emit("payment-commands", id, money)
		}
	case "sending":
		o.services["parcel"] = "asked"
		m.emit("shipping-commands", id, fields{"OrderID": id, "Item": o.order["Item"]})
	case "undoing": // the money first
		if o.holds("money") {
			m.emit("payment-commands", id, money)
		} else {
			m.emit("stock-commands", id, stock)
		}
	}
}

func (m *naiveSaga) end(id string, o *naiveOrder, stage string) {
	o.stage, o.due = stage, 0
	m.emit("order-outcomes", id, fields{"OrderID": id, "Shipped": stage == "shipped", "Why": o.why})
}

// tick asks again whoever has not answered; who has been asked three times in vain while all is prepared is given up.
func (m *naiveSaga) tick(wall core.Time) {
	for _, id := range slices.Sorted(maps.Keys(m.orders)) {
		o := m.orders[id]
		if o.due == 0 || o.due > wall {
			continue
		}
		o.due = 0
		if o.tries++; o.stage == "preparing" && o.tries == 3 {
			o.why = "no answer in time"
			m.undo(id, o, wall)
		} else {
			o.again = o.again || o.stage == "preparing"
			m.ask(id, o, wall)
		}
	}
}

func (m *naiveSaga) rows(table string) (map[string]any, bool) {
	rows := map[string]any{}
	for id, o := range m.orders {
		order := o.order
		if order == nil {
			order = fields{"OrderID": "", "Item": "", "Cents": 0}
		}
		step := func(service string) int { return slices.Index(naiveAnswers, o.services[service]) }
		rows[id] = fields{
			"Order": order, "Stage": slices.Index(naiveStages, o.stage), "Stock": step("stock"), "Payment": step("money"),
			"Sending": step("parcel"), "Attempts": o.tries, "Again": o.again, "Why": o.why,
		}
	}
	return rows, table == "order-saga"
}

// naiveServices are those of the saga with nobody in charge. A task hears of orders, or of items.
type naiveServices struct {
	emit     emit
	shelves  map[string][]string // who has a piece, by item
	accounts map[string]fields
}

func newNaiveServices(e emit) naive {
	return &naiveServices{e, map[string][]string{}, map[string]fields{}}
}

func (m *naiveServices) take(topic, key string, value []byte, _ core.Time) {
	if strings.HasSuffix(topic, "by-item-repartition") {
		m.inventory(key, members(value))
		return
	}
	m.hear(members(value))
}

// inventory has three pieces of each item.
func (m *naiveServices) inventory(item string, e fields) {
	id, has := e.text("OrderID"), m.shelves[item]
	tell := func(kind string, more fields) {
		more["type"], more["OrderID"] = kind, id
		m.emit("inventory-events", id, more)
	}
	switch {
	case e.text("type") == "OrderCreated" && len(has) < 3:
		m.shelves[item] = append(has, id)
		tell("InventoryReserved", fields{"Item": item, "Cents": e["Cents"]})
	case e.text("type") == "OrderCreated":
		tell("ReserveFailed", fields{"Why": "sold out"})
	case slices.Contains(has, id):
		m.shelves[item] = slices.DeleteFunc(has, func(x string) bool { return x == id })
		tell("InventoryReleased", fields{"Why": e["Why"]})
	}
}

// hear is what all the others make of an event.
func (m *naiveServices) hear(e fields) {
	id := e.text("OrderID")
	tell := func(topic, kind string, more fields) {
		more["type"], more["OrderID"] = kind, id
		m.emit(topic, id, more)
	}
	mail := func(text string) { m.emit("order-notices", id, "Order "+id+" is "+text+".") }
	ask := func() { m.emit(app+"-by-item-repartition", e.text("Item"), e) }
	switch e.text("type") {
	case "OrderCreated":
		ask()
	case "OrderPaid":
		mail("paid")
	case "OrderClosed":
		mail("on its way")
	case "OrderCancelled":
		mail("cancelled: " + e.text("Why"))
	case "InventoryReserved":
		if e.number("Cents") > 100_000 {
			tell("payment-service-events", "PaymentFailed", fields{"Item": e["Item"], "Why": "card declined"})
			m.account(id)
			break
		}
		m.accounts[id] = fields{"Paid": true, "Refunded": false}
		tell("payment-service-events", "PaymentProcessed", fields{"Item": e["Item"]})
	case "ReserveFailed", "InventoryReleased":
		m.account(id)
		tell("order-events", "OrderCancelled", fields{"Why": e["Why"]})
	case "PaymentProcessed":
		if e.text("Item") == "anvil" {
			tell("shipping-service-events", "ShippingFailed", fields{"Item": "anvil", "Why": "too heavy"})
		} else {
			tell("shipping-service-events", "OrderShipped", fields{})
		}
		tell("order-events", "OrderPaid", fields{})
		m.emit("order-invoices", id, id)
	case "PaymentFailed", "PaymentRefunded":
		ask()
	case "OrderShipped":
		m.account(id)
		tell("order-events", "OrderClosed", fields{})
	case "ShippingFailed":
		m.accounts[id] = fields{"Paid": true, "Refunded": true}
		tell("payment-service-events", "PaymentRefunded", fields{"Item": e["Item"], "Why": e["Why"]})
	}
}

// account is that of an order of which the payment service has heard: it has a row from then on.
func (m *naiveServices) account(id string) {
	if m.accounts[id] == nil {
		m.accounts[id] = fields{"Paid": false, "Refunded": false}
	}
}

func (m *naiveServices) tick(core.Time) {}

func (m *naiveServices) rows(table string) (map[string]any, bool) {
	rows := map[string]any{}
	switch table {
	case "stock":
		for item, has := range m.shelves {
			if len(has) == 0 {
				has = nil
			}
			rows[item] = fields{"Reserved": has}
		}
	case "accounts":
		for id, a := range m.accounts {
			rows[id] = a
		}
	default:
		return nil, false
	}
	return rows, true
}

// naiveAccounts is the write side of the event-sourcing example.
type naiveAccounts struct {
	emit     emit
	accounts map[string]*naiveAccount
}

type naiveAccount struct {
	owner          string
	open           bool
	cents, version int
}

func newNaiveAccounts(e emit) naive { return &naiveAccounts{e, map[string]*naiveAccount{}} }

func (m *naiveAccounts) take(_, key string, value []byte, _ core.Time) {
	c := members(value)
	a := m.accounts[key]
	if a == nil {
		a = &naiveAccount{}
		m.accounts[key] = a
	}
	kind, expected, cents := c.text("type"), c.number("Expected"), c.number("Cents")
	no := func(f string, args ...any) {
		m.emit("account-rejections", key, fields{"Command": kind, "Why": fmt.Sprintf(f, args...)})
	}
	e := fields{}
	switch {
	case expected != 0 && expected != a.version:
		no("version is %d, not %d", a.version, expected)
		return
	case kind == "Open" && a.open:
		no("is open already")
		return
	case kind != "Open" && !a.open:
		no("is not open")
		return
	case kind == "Withdraw" && cents > a.cents:
		no("has only %d cents", a.cents)
		return
	case kind == "Close" && a.cents > 0:
		no("still has %d cents", a.cents)
		return
	case kind == "Open":
		a.open, a.owner = true, c.text("Owner")
		e = fields{"type": "Opened", "Owner": a.owner}
	case kind == "Deposit":
		a.cents += cents
		e = fields{"type": "Deposited", "Cents": cents}
	case kind == "Withdraw":
		a.cents -= cents
		e = fields{"type": "Withdrawn", "Cents": cents}
	case kind == "Close":
		a.open = false
		e = fields{"type": "Closed"}
	}
	a.version++
	m.emit("account-events", key, e)
}

func (m *naiveAccounts) tick(core.Time) {}

func (m *naiveAccounts) rows(table string) (map[string]any, bool) {
	rows := map[string]any{}
	for id, a := range m.accounts {
		rows[id] = fields{"Owner": a.owner, "Cents": a.cents, "Version": a.version, "Open": a.open}
	}
	return rows, table == "accounts"
}
