package sagas

import "testing"

func TestAudit(t *testing.T) {
	right := func() books {
		return books{
			"o1": {placed: 1, ends: 1, invoices: 1, reserved: true, paid: true, shipped: true, told: true, paidMails: 1, shippedMails: 1},
			"o2": {placed: 1, ends: 1, invoices: 1, reserved: true, released: true, paid: true, refunded: true, paidMails: 1, cancelledMails: 1},
			"o3": {placed: 1, ends: 1, cancelledMails: 1},
		}
	}
	if r := right().judge(); !r.Clean() || r.String() != "orders=3 shipped=1 cancelled=2 missing=0 duplicated=0 half_done=0 wrong=0 mails_wrong=0" {
		t.Fatal(r, r.Examples)
	}
	for what, spoil := range map[string]func(books){
		"no end":         func(b books) { b["o1"].ends = 0 },
		"two ends":       func(b books) { b["o1"].ends = 2 },
		"two invoices":   func(b books) { b["o1"].invoices = 2 },
		"no invoice":     func(b books) { b["o1"].invoices = 0 },
		"not refunded":   func(b books) { b["o2"].refunded = false },
		"not released":   func(b books) { b["o2"].released = false },
		"not shipped":    func(b books) { b["o1"].shipped = false },
		"told otherwise": func(b books) { b["o1"].told = false },
		"no mail":        func(b books) { b["o1"].paidMails = 0 },
		"two mails":      func(b books) { b["o2"].cancelledMails = 2 },
		"a wrong mail":   func(b books) { b["o3"].cancelledMails, b["o3"].shippedMails = 0, 1 },
		"invented":       func(b books) { b["o3"].placed = 0 },
	} {
		b := right()
		if spoil(b); b.judge().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
}
