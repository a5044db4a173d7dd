package collector

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RetrievePropertiesEx reads properties once, in pages of at most maxObjects, whatever the
// client asks for (vmware/govmomi issue 3455).
func (pc *PropertyCollector) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	paged := *req
	if paged.Options.MaxObjects <= 0 || paged.Options.MaxObjects > maxObjects {
		paged.Options.MaxObjects = maxObjects
	}
	res := pc.read(ctx, &paged)
	if body, ok := res.(*methods.RetrievePropertiesExBody); ok && body.Res != nil && body.Res.Returnval != nil {
		pc.turn(body.Res.Returnval.Token, req.SpecSet)
	}
	return res
}

// read reads all that a request selects, as far as its own maximum.
func (pc *PropertyCollector) read(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	res := pc.once.RetrievePropertiesEx(ctx, req)
	body, ok := res.(*methods.RetrievePropertiesExBody)
	if !ok || body.Res == nil {
		return res
	}
	objects, f := pc.hub.withhold(ctx, req.SpecSet, body.Res.Returnval.Objects)
	if f != nil {
		return &methods.RetrievePropertiesExBody{Fault_: refuse(f)}
	}
	body.Res.Returnval.Objects = objects
	return body
}

// turn remembers what the next page is a page of.
func (pc *PropertyCollector) turn(token string, specs []types.PropertyFilterSpec) {
	if token != "" {
		pc.pages.Store(token, specs)
	}
}

// ContinueRetrievePropertiesEx reads the next page.
func (pc *PropertyCollector) ContinueRetrievePropertiesEx(
	ctx *simulator.Context, req *types.ContinueRetrievePropertiesEx,
) soap.HasFault {
	res := pc.once.ContinueRetrievePropertiesEx(ctx, req)
	if body, ok := res.(*methods.ContinueRetrievePropertiesExBody); ok && body.Res != nil {
		var specs []types.PropertyFilterSpec
		if found, ok := pc.pages.LoadAndDelete(req.Token); ok {
			specs = found.([]types.PropertyFilterSpec)
		}
		objects, f := pc.hub.withhold(ctx, specs, body.Res.Returnval.Objects)
		if f != nil {
			return &methods.ContinueRetrievePropertiesExBody{Fault_: refuse(f)}
		}
		body.Res.Returnval.Objects = objects
		pc.turn(body.Res.Returnval.Token, specs)
	}
	return res
}

// RetrieveProperties reads properties once, without pages.
func (pc *PropertyCollector) RetrieveProperties(ctx *simulator.Context, req *types.RetrieveProperties) soap.HasFault {
	body := &methods.RetrievePropertiesBody{}
	res := pc.read(ctx, &types.RetrievePropertiesEx{This: req.This, SpecSet: req.SpecSet})
	if f := res.Fault(); f != nil {
		body.Fault_ = f
		return body
	}
	body.Res = &types.RetrievePropertiesResponse{
		Returnval: res.(*methods.RetrievePropertiesExBody).Res.Returnval.Objects,
	}
	return body
}

// FetchResponse is named as on the wire: govmomi takes the element's name from the
// type.
type FetchResponse struct {
	Returnval types.AnyType `xml:"returnval,omitempty,typeattr"`
}

type fetchBody struct {
	Res   *FetchResponse
	fault *soap.Fault
}

func (b *fetchBody) Fault() *soap.Fault { return b.fault }

// Fetch is the undocumented call behind pyvmomi's attributes. An unset property is
// an empty answer, which pyvmomi shows as None. The request's type is internal to
// upstream, so its members are reached by name.
func (pc *PropertyCollector) Fetch(ctx *simulator.Context, req any) soap.HasFault {
	members := reflect.ValueOf(req).Elem()
	this := members.FieldByName("This").Interface().(types.ManagedObjectReference)
	name := members.FieldByName("Prop").String()

	if ctx.Session == nil && this.Type != "ServiceInstance" {
		return &fetchBody{fault: refuse(&types.NotAuthenticated{
			NoPermission: types.NoPermission{Object: &this, PrivilegeId: "System.View"},
		})}
	}
	if this.Type == "ServiceInstance" && name == "content" {
		content := ctx.Map.Get(this).(*simulator.ServiceInstance).ServiceContent()
		return &fetchBody{Res: &FetchResponse{Returnval: content}}
	}
	res := pc.read(ctx, &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{{
		PropSet:   []types.PropertySpec{{Type: this.Type, PathSet: []string{name}}},
		ObjectSet: []types.ObjectSpec{{Obj: this}},
	}}})
	if f := res.Fault(); f != nil {
		return &fetchBody{fault: f}
	}
	answer := &fetchBody{Res: &FetchResponse{}}
	for _, object := range res.(*methods.RetrievePropertiesExBody).Res.Returnval.Objects {
		for _, p := range object.PropSet {
			answer.Res.Returnval = p.Val
		}
		for _, missing := range object.MissingSet {
			return &fetchBody{fault: refuse(missing.Fault.Fault)}
		}
	}
	return answer
}
