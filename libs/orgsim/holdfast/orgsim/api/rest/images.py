"""`/sobjects/{O}/{id}/richTextImageFields/{field}/{reference}`: an image that a rich text shows."""

from __future__ import annotations

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest.blobs import part_of
from holdfast.orgsim.api.rest.records import existing, known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router
from holdfast.orgsim.errors import not_found
from holdfast.orgsim.rules.images import OBJECT, RICH_TEXT

router = Router(DATA + "/sobjects")


@router.add("GET", "/{object}/{id}/richTextImageFields/{field}/{reference}")
async def read(call: Call) -> Reply:
    """The bytes of an image of this very record and field, in the type that it was given with."""
    obj = known_object(call, call.params["object"])
    row = existing(call, obj, call.params["id"])
    field = obj.find(call.params["field"])
    if field is None or field["extraTypeInfo"] != RICH_TEXT or not call.user.reads_field(obj.name, field["name"]):
        raise not_found()
    reference = ids.normalise(call.params["reference"])
    images = call.org.schema.objects.get(OBJECT)
    image = call.org.table(images).get(reference) if images is not None and reference is not None else None
    if image is None or (image["ParentId"], image["Field"]) != (row["Id"], field["name"]):
        raise not_found()
    return part_of(call, str(image["Body"]), str(image["ContentType"]))
