// The workspace, and the two connectors through which Unity Catalog acts as the identities of stream and models.

param location string
param name string
param streamIdentityId string
param modelsIdentityId string

@description('Premium: job permissions, Unity Catalog and secret scopes with a vault behind need it.')
@allowed([
  'premium'
])
param skuName string = 'premium'

var connectors = [
  {
    name: '${name}-stream'
    identityId: streamIdentityId
  }
  {
    name: '${name}-models'
    identityId: modelsIdentityId
  }
]

resource workspace 'Microsoft.Databricks/workspaces@2024-05-01' = {
  name: name
  location: location
  sku: {
    name: skuName
  }
  properties: {
    managedResourceGroupId: '${subscription().id}/resourceGroups/${name}-managed'
    parameters: {
      enableNoPublicIp: {
        value: true
      }
    }
  }
}

resource accessConnectors 'Microsoft.Databricks/accessConnectors@2024-05-01' = [for connector in connectors: {
  name: connector.name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${connector.identityId}': {}
    }
  }
  properties: {}
}]

output workspaceUrl string = 'https://${workspace.properties.workspaceUrl}'
output workspaceResourceId string = workspace.id
output streamConnectorId string = accessConnectors[0].id
output modelsConnectorId string = accessConnectors[1].id
