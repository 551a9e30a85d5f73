package machine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ways are the ways in which images fail elsewhere, in the order in which they come: what shows that they do no harm here, and where that is, or why it cannot be.
var ways = []struct {
	number int
	what   string
	shown  []string // directory:test
	cannot string
}{
	{1, "no room for the image", at(".:TestNoRoom", ".:TestNoRoomForFiles", ".:TestNoRoomForLogs", ".:TestNobodyMayWrite", "../checkpoint/image:TestFullDisk"), ""},
	{2, "whoever is asked at the end of a dump refuses", at(".:TestNoRoomForFiles", "../checkpoint/criu:TestARefusalUndoes"), ""},
	{3, "the agent is killed in the middle", at("../../internal/e2e:TestCheckpointKillAgent", "../../internal/e2e:TestCheckpointKillOnTheRun", ".:TestStreamAndKilledAgents", ".:TestAgentKilledAtTheEndOfARestore"), ""},
	{4, "criu is killed in the middle", at(".:TestCriuKilled", "../checkpoint/criu:TestCriuDiesAtEachStep"), ""},
	{5, "criu is ended in the middle, of a container that is paused", at(".:TestPausedThroughout", "../../internal/e2e:TestCheckpointKillOnTheRun"), ""},
	{6, "a process is stopped", at(".:TestStoppedTask"), "it hangs a freezer of v1, and nothing here freezes with one"},
	{7, "freezing takes long", at("../../internal/e2e:TestCheckpointKillOnTheRun"), "criu polls a freezer of v1; see 6"},
	{8, "memory is copied beforehand where the kernel cannot tell what changes", at(".:TestPreCopy"), ""},
	{9, "a process came in from outside", at(".:TestFurtherProcess", ".:TestRefusedExec"), ""},
	{10, "output goes to a file of the node", at(".:TestRefused"), "it goes to pipes"},
	{11, "a file of the node is open", at(".:TestRefused"), ""},
	{12, "a connection is open", at(".:TestStream", ".:TestWebServer"), ""},
	{13, "a server has multipath TCP", at(".:TestRefused"), ""},
	{14, "an io_uring", at(".:TestRefused"), ""},
	{15, "a vsock socket", at(".:TestRefused"), ""},
	{16, "what criu does not know", at(".:TestRefused", ".:TestRefusedManifests"), ""},
	{17, "a large file that is open and was removed", at(".:TestRefused"), ""},
	{18, "file locks", at(".:TestWorkloads"), ""},
	{19, "shared memory of System V", at(".:TestWorkloads"), ""},
	{20, "the container stands still for too long", at(".:TestTooLongAPause", ".:TestForksLikeMad"), ""},
	{21, "something else is asked for meanwhile", at(".:TestImageAndOtherVerbs", ".:TestRefusedExec"), ""},
	{22, "two images at once", at(".:TestImagesAtOnce"), ""},
	{23, "the disk is slow", at(".:TestTooLongAPause"), "the pause is what counts, whatever its reason"},
	{24, "criu is missing, too old, or another one than it was", at(".:TestAnotherCriu", "../checkpoint/criu:TestProveFindsOut", "../checkpoint/criu:TestStrayConfigurationChangesNothing"), ""},
	{25, "the container ends meanwhile; zombies", at(".:TestEndsInTheMiddle", ".:TestZombies"), "numbers of processes are used again in the container's own namespace only"},
	{26, "a bit of an image is another one", at("../checkpoint/image:TestDamage", "../checkpoint/image:TestImages"), ""},
	{27, "an image is cut off", at("../checkpoint/image:TestDamage", "../checkpoint/image:TestPages"), ""},
	{28, "a file of an image is missing or nonsense", at("../checkpoint/image:TestDamage", "../checkpoint/image:TestHostileImages"), ""},
	{29, "nobody knows which pipes there were", at("../checkpoint/image:TestDamage"), "that is a file of the image like others"},
	{30, "an image was not finished, or comes as a hostile archive", at("../checkpoint/image:TestSweep", "../checkpoint/image:TestKilled", "../checkpoint/image:TestHostileArchives"), ""},
	{31, "a program is another one, of the same size as well", at(".:TestWhatHasChanged"), ""},
	{32, "an open file has grown or is gone", at(".:TestWhatHasChanged"), ""},
	{33, "files are of another moment than memory", at(".:TestLeaveRunning"), ""},
	{34, "a limit is below the image", at(".:TestLimitsBelowAnImage", ".:TestLimitsAtRestore"), ""},
	{35, "the number of a process is taken", at("../checkpoint/criu:TestARestoreBesideTheOriginal"), "here a container has its own"},
	{36, "criu is killed in a restore", at(".:TestCriuKilled", "../../internal/e2e:TestCheckpointKillKeeper"), ""},
	{37, "a bind's source is gone, or of another kind", at(".:TestWhatHasChanged"), ""},
	{38, "an image of other users", at(".:TestUsersAfterRestore", ".:TestOtherUsers"), ""},
	{39, "the network is another one", at(".:TestFailedRestore", ".:TestWebServer"), "it outlives its container"},
	{40, "the processor can do less", at("../checkpoint/image:TestFits"), ""},
	{41, "the agent is killed while memory follows a restore", at(".:TestLazyOutlives", ".:TestLazyLost"), ""},
	{42, "who waits for the end of what was restored", at("../linux:TestRestoreCommit", ".:TestEndsInTheMiddle"), ""},
	{43, "an image of what was restored", at(".:TestCounter", ".:TestWorkloads"), ""},
	{44, "several containers from one image", at("../../cmd/reconciler:TestLive"), "the script checkpoint.txtar"},
	{45, "an image from which every run ends at once", at("../../internal/e2e:TestPoisonedImage"), ""},
	{46, "an image that is in use is to be removed; the clock goes backwards", at(".:TestRestoreAndOthers", "../checkpoint/image:TestRetentionRacesWithUse", "../checkpoint/image:TestClockGoesBackwards"), ""},
	{47, "one of a group cannot be saved", at(".:TestImageAndOtherVerbs", "../../internal/e2e:TestCheckpointKillOnTheRun"), ""},
	{48, "the power fails", at("../checkpoint/image:TestDiskFails", "../checkpoint/image:TestKilled"), ""},
}

func at(tests ...string) []string { return tests }

// The table names tests that there are.
func TestWays(t *testing.T) {
	sources := map[string]string{}
	for i, w := range ways {
		if w.number != i+1 {
			t.Errorf("%d comes after %d", w.number, i)
		}
		if len(w.shown) == 0 {
			t.Errorf("%d, %s, is shown nowhere", w.number, w.what)
		}
		for _, place := range w.shown {
			dir, name, _ := strings.Cut(place, ":")
			if sources[dir] == "" {
				files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
				must(t, err)
				for _, file := range files {
					text, err := os.ReadFile(file)
					must(t, err)
					sources[dir] += string(text)
				}
			}
			if !strings.Contains(sources[dir], "\nfunc "+name+"(t *testing.T) {") {
				t.Errorf("%d, %s: %s has no %s", w.number, w.what, dir, name)
			}
		}
	}
}
