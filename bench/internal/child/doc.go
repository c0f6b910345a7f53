// Package child runs a part of a benchmark in a process of its own, so that its CPU
// time can be told from that of the others. The process is the same program again.
//
//	func main() {
//		child.Main("broker", func(ctx context.Context, args []string, say func(any) error) error { ... })
//		...
//		p, err := child.Start("broker", "-partitions", "4")
//		defer p.Stop()
//		err = p.Hear(&hello)
//
// A child says things as lines of JSON on its standard output. It ends when its standard
// input does, so none outlives its parent, however that ends.
package child
