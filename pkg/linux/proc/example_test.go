package proc_test

import (
	"fmt"
	"log"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
)

// What the kernel shows of this process.
func ExampleDir_Process() {
	boot, err := proc.BootTime()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := proc.Open(os.Getpid())
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	p, err := dir.Process(boot)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Pid == os.Getpid(), p.Command[0] == os.Args[0], p.StartedAt.After(boot))
	// Output: true true true
}
