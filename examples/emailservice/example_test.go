package emailservice_test

import (
	"fmt"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology"
)

func Example() {
	plan, err := emailservice.Topology().Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan.Describe(topology.AsText))
	// Output:
	// topology email-service
	//
	// sub-topology 0
	//   topic orders as stream: string -> json(Order)
	//   └─ keyBy by-customer: emailservice.Order.Customer
	//      └─ to topic email-service-by-customer-repartition
	//
	// sub-topology 1
	//   topic customers as table: string -> json(Customer)
	//   topic email-service-by-customer-repartition
	//   └─ join with-customer with customers: emailservice.Compose
	//      └─ to topic emails
	//   * table customers: string -> json(Customer), restored from topic customers
	//   * equal partition counts: customers, email-service-by-customer-repartition
}
