package queue_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// checks is how many random histories a property plays, times what the environment's SIAGA112_MORE asks for.
const checks = 40

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "rapid.checks" })
	if !chosen {
		more, err := strconv.Atoi(os.Getenv("SIAGA112_MORE"))
		if err != nil {
			more = 1
		}
		if err := flag.Set("rapid.checks", strconv.Itoa(max(1, more)*checks)); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}
