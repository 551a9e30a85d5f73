package keeper_test

import (
	"fmt"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// Containers that write as fast as they can do not keep the keeper from upgrading.
func TestUpgradeUnderFlood(t *testing.T) {
	n := newNode(t)
	exe, err := keeper.Sealed("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	for i := range 24 {
		r := n.request(fmt.Sprintf("flood-%d", i), 1, `yes 0123456789abcdef >&2 & exec yes 0123456789abcdef`)
		r.Log.MaxSize, r.Log.MaxFiles = 1<<20, 2
		if _, err := n.client.Start(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := n.client.Upgrade(t.Context(), exe); err != nil {
			t.Error(err)
		}
	}
}
