-- Health of Topgraft's three kinds for Argo CD. Uses base functions only, which argocd-cm allows.
local hs = { status = "Progressing", message = "Waiting for the operator" }
if obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "spec.suspend is true"
  return hs
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local c = {}
for _, x in ipairs(obj.status.conditions or {}) do
  c[x.type] = x
end
local function holds(kind)
  return c[kind] ~= nil and c[kind].status == "True"
end
if holds("Stalled") then
  hs.status = "Degraded"
  hs.message = c.Stalled.message
elseif holds("Reconciling") then
  hs.message = c.Reconciling.message
elseif holds("Suspended") then
  hs.status = "Suspended"
  hs.message = c.Suspended.message
elseif c.Ready ~= nil then
  if c.Ready.status == "True" then
    hs.status = "Healthy"
  elseif c.Ready.status == "False" then
    hs.status = "Degraded"
  end
  hs.message = c.Ready.message
end
return hs
