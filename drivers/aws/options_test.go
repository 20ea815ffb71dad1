package aws

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestReadOptions(t *testing.T) {
	const least = `"image":"ami-0123456789abcdef0","instance_type":"m7i.large"`
	for _, tt := range []struct{ name, options, err string }{
		{"least", `{` + least + `}`, ""},
		{"all of contract 29", `{"image":"base-*","instance_type":"mac2.metal","security_group":"ci","tags":{"A":"b"},"encrypt_key":"alias/ci","pool":"mac",` +
			`"userdata_format":"env","userdata_prefix":"data","task_image_name":"out","task_image_encrypt_key":"alias/out"}`, ""},
		{"ours", `{"image":"Os:mac","instance_types":["m7i.large","m6i.large"],"spot":{"max_attempts":2,"on_demand":false},"zones":["eu-west-1a"],` +
			`"hibernate":false,"iam_instance_profile":"ci"}`, ""},
		{"other cases and nulls", `{"IMAGE":"x","Instance_Type":"m7i.large","pool":null,"spot":false}`, ""},
		{"unknown ones", `{` + least + `,"no_such":[1]}`, ""},
		{"only a pool", `{"image":"x","pool":"mac"}`, ""},
		{"nothing", ``, "option image: got nothing"},
		{"a list", `[]`, "want a JSON object"},
		{"no image", `{"instance_type":"m7i.large"}`, "option image"},
		{"no type", `{"image":"x"}`, "option instance_type"},
		{"a type that is none", `{"image":"x","instance_type":"large"}`, "option instance_type: got \"large\""},
		{"types that are none", `{"image":"x","instance_types":["large"]}`, "option instance_types"},
		{"half an id", `{"image":"ami-xyz","instance_type":"m7i.large"}`, "option image: got \"ami-xyz\""},
		{"half a tag", `{"image":"Os:","instance_type":"m7i.large"}`, "option image: got \"Os:\", want Tag:Value"},
		{"our own tag", `{` + least + `,"tags":{"AquariumNode":"x"}}`, "option tags"},
		{"tags that are a list", `{` + least + `,"tags":["x"]}`, "option tags"},
		{"spot without attempt", `{` + least + `,"spot":{"max_attempts":0}}`, "option spot: max_attempts: got 0, want 1 to 50"},
		{"a word for spot", `{` + least + `,"spot":"yes"}`, "option spot"},
		{"an unknown word in spot", `{` + least + `,"spot":{"price":1}}`, "option spot"},
		{"spot in a pool", `{` + least + `,"spot":true,"pool":"mac"}`, "option spot"},
		{"hibernation of spot", `{` + least + `,"hibernate":true,"spot":true}`, "option hibernate: want no spot"},
		{"hibernation in a pool", `{` + least + `,"hibernate":true,"pool":"mac"}`, "option hibernate"},
		{"two types in a pool", `{` + least + `,"instance_types":["a1.metal"],"pool":"mac"}`, "option instance_types"},
		{"a key with blanks", `{` + least + `,"encrypt_key":"my key"}`, "option encrypt_key"},
		{"zones that are none", `{` + least + `,"zones":["here"]}`, "option zones"},
		{"another format", `{` + least + `,"userdata_format":"xml"}`, "option userdata_format: got \"xml\", want \"\" for none, json, env or ps1"},
		{"a prefix of nothing", `{` + least + `,"userdata_prefix":"x"}`, "option userdata_prefix"},
		{"an image name of EC2's dislike", `{` + least + `,"task_image_name":"a%b"}`, "option task_image_name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readOptions(model.LabelDefinition{Options: json.RawMessage(tt.options)})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("readOptions() = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestOptionsAreRead(t *testing.T) {
	got, err := readOptions(model.LabelDefinition{
		Options: json.RawMessage(`{"instance_types":["m6i.large","m7i.large"],"instance_type":"m7i.large","image":"Os:mac","spot":true,"userdata_format":"ps1"}`),
		Resources: model.Resources{Network: "Env:ci", Disks: map[string]model.Disk{
			"/dev/sdg": {Type: "gp3:4000:250", Size: 10, Label: "A:1, B:"}, "/dev/sdf": {Clone: "Cache:maven"},
		}},
	})
	want := options{
		image: named{key: "Os", value: "mac"}, types: []string{"m7i.large", "m6i.large"}, spot: spotOptions{defaultSpotAttempts, true},
		userdataFormat: metadata.PowerShell, network: named{key: "Env", value: "ci"},
		disks: []diskOptions{
			{device: "/dev/sdf", clone: named{key: "Cache", value: "maven"}},
			{device: "/dev/sdg", kind: "gp3", sizeGB: 10, iops: 4000, throughput: 250, tags: cloud.Tags{"A": "1", "B": ""}},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{}, named{}, spotOptions{}, diskOptions{})); diff != "" || err != nil {
		t.Errorf("options (-want +got), %v:\n%s", err, diff)
	}
}

func TestReadResources(t *testing.T) {
	disk := func(d model.Disk) model.Resources {
		return model.Resources{Disks: map[string]model.Disk{"/dev/sdf": d}}
	}
	for _, tt := range []struct {
		name      string
		resources model.Resources
		err       string
	}{
		{"nothing", model.Resources{}, ""},
		{"a VPC", model.Resources{Network: "vpc-0123456789abcdef0"}, ""},
		{"a subnet of old", model.Resources{Network: "subnet-01234567"}, ""},
		{"a tag", model.Resources{Network: "Name:ci"}, ""},
		{"a name", model.Resources{Network: "nat"}, "network: got \"nat\""},
		{"half an id", model.Resources{Network: "vpc-x"}, "network: got \"vpc-x\""},
		{"a snapshot", disk(model.Disk{Clone: "snap-0123456789abcdef0"}), ""},
		{"io2 with IOPS", disk(model.Disk{Size: 8, Type: "io2:4000"}), ""},
		{"io2 without", disk(model.Disk{Size: 8, Type: "io2"}), "disk \"/dev/sdf\": type: got \"io2\": io2 needs its IOPS"},
		{"another type", disk(model.Disk{Size: 8, Type: "dir"}), "want one of gp2, gp3"},
		{"IOPS of none", disk(model.Disk{Size: 8, Type: "gp2:100"}), "no IOPS"},
		{"throughput of io1", disk(model.Disk{Size: 8, Type: "io1:100:5"}), "only gp3"},
		{"too many parts", disk(model.Disk{Size: 8, Type: "gp3:1:2:3"}), "want type[:iops"},
		{"a word for IOPS", disk(model.Disk{Size: 8, Type: "gp3:many"}), "want type[:iops"},
		{"no size", disk(model.Disk{}), "size: got 0"},
		{"too large", disk(model.Disk{Size: 70000}), "size: got 70000"},
		{"nonsense for a size", disk(model.Disk{Size: 1 << 62}), "size"},
		{"reuse", disk(model.Disk{Size: 1, Reuse: true}), "reuse: want false"},
		{"a label that is none", disk(model.Disk{Size: 1, Label: "data"}), "label: got \"data\", want tags as Key:Value"},
		{"our own tag", disk(model.Disk{Size: 1, Label: "AquariumToken:x"}), "label: tag \"AquariumToken\""},
		{"a tag twice", disk(model.Disk{Size: 1, Label: "A:1,A:2"}), "label: tag \"A\" is there twice"},
		{"a clone by name", disk(model.Disk{Clone: "data.vmdk"}), "clone: got \"data.vmdk\""},
		{"a device that is none", model.Resources{Disks: map[string]model.Disk{"my disk": {Size: 1}}}, "disk \"my disk\": its name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (&options{}).readResources(tt.resources)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("readResources() = %v, want %q", err, tt.err)
			}
		})
	}
}
