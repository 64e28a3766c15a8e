//! `show schema json`: what the JSON forms look like.

/// JSON schema (draft 4) of `show info json` and `show stat json`.
pub const SCHEMA: &str = concat!(
    r##"{"$schema":"http://json-schema.org/draft-04/schema#","oneOf":["##,
    r##"{"title":"Info","type":"array","items":{"title":"InfoItem","type":"object","##,
    r##""properties":{"field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"##,
    r##""tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}},"##,
    r##""required":["field","processNum","tags","value"]}},"##,
    r##"{"title":"Stat","type":"array","items":{"title":"InfoItem","type":"array","items":{"type":"object","##,
    r##""properties":{"objType":{"enum":["Frontend","Backend","Listener","Server","Unknown"]},"##,
    r##""proxyId":{"type":"integer","minimum":0},"id":{"type":"integer","minimum":0},"##,
    r##""field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"##,
    r##""tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}},"##,
    r##""required":["objType","proxyId","id","field","processNum","tags","value"]}}},"##,
    r##"{"title":"Error","type":"object","properties":{"errorStr":{"type":"string"}},"required":["errorStr"]}],"##,
    r##""definitions":{"field":{"type":"object","properties":{"pos":{"type":"integer","minimum":0},"name":{"type":"string"}},"required":["pos","name"]},"##,
    r##""processNum":{"type":"integer","minimum":1},"##,
    r##""tags":{"type":"object","properties":{"origin":{"enum":["Metric","Status","Key","Config","Product","Unknown"]},"##,
    r##""nature":{"enum":["Gauge","Limit","Min","Max","Rate","Counter","Duration","Age","Time","Name","Output","Avg","Unknown"]},"##,
    r##""scope":{"enum":["Cluster","Process","Service","System","Unknown"]},"##,
    r##""persistence":{"enum":["Volatile","Persistent"]}},"required":["origin","nature","scope"]},"##,
    r##""typedValue":{"type":"object","oneOf":["##,
    r##"{"properties":{"type":{"enum":["s32","s64","u32","u64","flt"]},"value":{"type":"number"}}},"##,
    r##"{"properties":{"type":{"enum":["str"]},"value":{"type":"string"}}}],"required":["type","value"]}}}"##,
);
